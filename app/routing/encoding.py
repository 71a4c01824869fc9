"""From texts to token ids, by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from app.routing.errors import InvalidTaskError, InvalidTextError, TextTooLongError
from app.routing.loaded import LoadedModel
from app.routing.task import check_text

# A character makes at most a few tokens and a token at most this many characters, so a text
# beyond this is over any limit and is refused without being tokenised.
_MOST_CHARACTERS_PER_TOKEN = 64
_NOWHERE = (-1, -1)


class Tokenizing(Protocol):
    """What encoding needs of a model."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""


@dataclass(frozen=True)
class Encoded:
    """Token ids, and where each token begins and ends in the characters of its text.

    (−1, −1) for a token that stands for no characters, and where the tokenizer can't tell.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]

    @classmethod
    def placeless(cls, ids: Sequence[int]) -> Encoded:
        """Tokens that stand for no part of a text."""
        return cls(list(ids), [_NOWHERE] * len(ids))

    def __add__(self, other: Encoded) -> Encoded:
        return Encoded(self.ids + other.ids, self.offsets + other.offsets)


def encode(loaded: LoadedModel, text: str, max_tokens: int) -> Encoded:
    """The tokens of a text, special ones included.

    Raises InvalidTextError, or TextTooLongError beyond `max_tokens`.
    """
    return _encode(loaded, text, max_tokens, "text", {"text": text})


def encode_target(loaded: LoadedModel, target: str, max_tokens: int) -> Encoded:
    """What a decoder is made to read: its start token, and those of a target text.

    Raises as `encode` and `decoder_start` do.
    """
    read = _encode(loaded, target, max_tokens, "target text", {"text_target": target})
    return Encoded.placeless([decoder_start(loaded)]) + read


def decoder_start(loaded: LoadedModel) -> int:
    """The token that a decoder begins with. Raises InvalidTaskError if the model names none."""
    model: Any = loaded.model
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None:
        start = model.generation_config.decoder_start_token_id
    if start is None:
        raise InvalidTaskError(f"{loaded.identity.id} does not say what its decoder begins with")
    return int(start)


def encode_beginning(loaded: Tokenizing, text: str, max_tokens: int) -> tuple[Encoded, int]:
    """The tokens of as much of a text's beginning as has at most `max_tokens`, special ones
    included, and the number of its characters: they are those of a text that ends there.

    Raises InvalidTextError, or TextTooLongError where not even one character fits.
    """
    size = min(len(text), max_tokens * _MOST_CHARACTERS_PER_TOKEN)
    while size > 0:
        check_text(text[:size])
        found = _tokens_of(loaded, {"text": text[:size]}, "text")
        if len(found.ids) <= max_tokens:
            return found, size
        ends = [end for _, end in found.offsets if end > 0]
        if ends:
            kept = max_tokens - (len(found.ids) - len(ends))
            size = min(size - 1, ends[kept - 1]) if kept > 0 else 0
        else:
            size = min(size - 1, size * max_tokens // len(found.ids))
    raise TextTooLongError(f"the text has no beginning of at most {max_tokens} tokens")


def _encode(
    loaded: LoadedModel, text: str, max_tokens: int, name: str, arguments: dict[str, Any]
) -> Encoded:
    check_text(text)
    if len(text) > max_tokens * _MOST_CHARACTERS_PER_TOKEN:
        raise TextTooLongError(
            f"the {name} has {len(text):,} characters; the limit is {max_tokens} tokens"
        )
    found = _tokens_of(loaded, arguments, name)
    if len(found.ids) > max_tokens:
        raise TextTooLongError(
            f"the {name} has {len(found.ids):,} tokens; the limit is {max_tokens}"
        )
    return found


def _tokens_of(loaded: Tokenizing, arguments: dict[str, Any], name: str) -> Encoded:
    # Tokenizers in plain Python don't know the places of their tokens.
    fast = bool(loaded.tokenizer.is_fast)
    places: Any = {"return_offsets_mapping": True} if fast else {}
    found: Any = loaded.tokenizer(**arguments, **places, verbose=False)
    ids: list[int] = found["input_ids"]
    if not ids:
        raise InvalidTextError(f"the model's tokenizer finds no token in the {name}")
    if not fast:
        return Encoded.placeless(ids)
    # The library gives tokens that it adds a place of no width.
    return Encoded(ids, [(b, e) if b < e else _NOWHERE for b, e in found["offset_mapping"]])
