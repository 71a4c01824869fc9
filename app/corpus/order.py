"""What a pass over a corpus is asked for, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

# Padded tokens that go through the model at a time. More fall out of the processor's cache
# between two layers, and pad more; fewer share the weights among too few.
BATCH_TOKENS = 1024


@dataclass(frozen=True)
class Order:
    """A pass: which files, which of their columns, which model.

    `max_tokens` are read of each document. `tokens`: every token's routing is written too.
    Whatever has the same order and the same files gives the same counts.
    """

    files: tuple[str, ...]
    text: str
    labels: tuple[str, ...]
    model: str
    max_tokens: int
    name: str = ""
    tokens: bool = False
    batch_tokens: int = BATCH_TOKENS
    seed: int = 0

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`. Raises TypeError for other values."""
        order = cls(**values)
        return replace(order, files=tuple(order.files), labels=tuple(order.labels))


@dataclass(frozen=True)
class Progress:
    """How far a pass is. `seconds` are those of work, over all its starts.

    `cut`: documents of which only the beginning was read. `done` of `size` bytes are read.
    """

    documents: int = 0
    tokens: int = 0
    cut: int = 0
    skipped: int = 0
    done: int = 0
    size: int = 0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Tokens per second of work, 0 before the first."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go if the rest is like what is done, None before that can be told."""
        if not self.done or self.seconds < 1:
            return None
        return self.seconds * (self.size - self.done) / self.done
