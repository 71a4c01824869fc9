"""What is asked of a model beyond the text: a target, a generation, another capacity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.routing.errors import InvalidTaskError, InvalidTextError

DEFAULT_NEW_TOKENS = 20


@dataclass(frozen=True)
class Generation:
    """How to generate: greedy, or sampled with a seed (temperature > 0, 0 < top_p ≤ 1)."""

    max_new_tokens: int = DEFAULT_NEW_TOKENS
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def check(self, limit: int) -> None:
        """Raises InvalidTaskError for a setting out of range; `limit` in tokens."""
        for name in ("max_new_tokens", "seed"):
            if type(getattr(self, name)) is not int:
                raise InvalidTaskError(f"{name} must be a whole number")
        for name in ("temperature", "top_p"):
            if type(getattr(self, name)) not in (int, float):
                raise InvalidTaskError(f"{name} must be a number")
        if not 1 <= self.max_new_tokens <= limit:
            raise InvalidTaskError(
                f"max_new_tokens must be from 1 to {limit}, not {_short(self.max_new_tokens)}"
            )
        if not (math.isfinite(self.temperature) and 0 < self.temperature <= 100):
            raise InvalidTaskError("temperature must be above 0 and at most 100")
        if not 0 < self.top_p <= 1:
            raise InvalidTaskError("top_p must be above 0 and at most 1")
        if not 0 <= self.seed < 2**32:
            raise InvalidTaskError("seed must be from 0 to 4294967295")


@dataclass(frozen=True)
class Task:
    """One analysis: a text, and what to do with it.

    With an encoder–decoder model the encoder alone runs unless there is a `target`, which
    the decoder is forced to, or a `generation`. A decoder-only model reads the text as its
    prompt and goes on from it with a `generation`. `capacity` replaces the model's expert
    capacity, in tokens.
    """

    text: str
    target: str | None = None
    generation: Generation | None = None
    capacity: int | None = None

    def check(self, limit: int) -> None:
        """Raises InvalidTextError or InvalidTaskError for what no model could do."""
        check_text(self.text)
        if self.target is not None:
            if self.generation is not None:
                raise InvalidTaskError("give a target or let the model generate, not both")
            if not self.target.strip():
                raise InvalidTaskError("the target text is blank")
            check_text(self.target)
        if self.generation is not None:
            self.generation.check(limit)
        if self.capacity is not None and not 1 <= self.capacity <= 1_000_000:
            raise InvalidTaskError("capacity must be from 1 to 1,000,000 tokens")

    def settings(self) -> dict[str, Any]:
        """Everything but the text as plain JSON values, what is unset left out."""
        values = {
            "target": self.target,
            "generate": asdict(self.generation) if self.generation else None,
            "capacity": self.capacity,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, text: str, settings: Mapping[str, Any]) -> Task:
        """The inverse of `settings`. Raises InvalidTaskError for values of a wrong type."""
        generate, capacity = settings.get("generate"), settings.get("capacity")
        try:
            return cls(
                text=text,
                target=settings.get("target"),
                generation=Generation(**generate) if generate is not None else None,
                capacity=int(capacity) if capacity is not None else None,
            )
        except (TypeError, ValueError) as error:
            raise InvalidTaskError("the settings of the analysis can't be read") from error


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**12 else "a number that large"


def check_text(text: str) -> None:
    """Raises InvalidTextError for a text without content or with half a character."""
    if not text.strip():
        raise InvalidTextError("the text is blank")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidTextError(
            "the text holds half of a character (a lone surrogate) and cannot be encoded"
        ) from None
