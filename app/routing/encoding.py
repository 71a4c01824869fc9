"""From texts to token ids, by the model's own tokenizer."""

from __future__ import annotations

from typing import Any

from app.routing.errors import InvalidTaskError, InvalidTextError, TextTooLongError
from app.routing.loaded import LoadedModel
from app.routing.task import check_text

# A character makes at most a few tokens and a token at most this many characters, so a text
# beyond this is over any limit and is refused without being tokenised.
_MOST_CHARACTERS_PER_TOKEN = 64


def encode(loaded: LoadedModel, text: str, max_tokens: int) -> list[int]:
    """Token ids of a text, special tokens included.

    Raises InvalidTextError, or TextTooLongError beyond `max_tokens`.
    """
    return _encode(loaded, text, max_tokens, "text", {"text": text})


def encode_target(loaded: LoadedModel, target: str, max_tokens: int) -> list[int]:
    """Token ids of a decoder's target text. Raises as `encode` does."""
    return _encode(loaded, target, max_tokens, "target text", {"text_target": target})


def decoder_start(loaded: LoadedModel) -> int:
    """The token that a decoder begins with. Raises InvalidTaskError if the model names none."""
    model: Any = loaded.model
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None:
        start = model.generation_config.decoder_start_token_id
    if start is None:
        raise InvalidTaskError(f"{loaded.identity.id} does not say what its decoder begins with")
    return int(start)


def pad_token(loaded: LoadedModel) -> int:
    """An id to pad with. What it is doesn't matter: padding is masked and cut off."""
    return int(loaded.tokenizer.pad_token_id or 0)


def _encode(
    loaded: LoadedModel, text: str, max_tokens: int, name: str, arguments: dict[str, Any]
) -> list[int]:
    check_text(text)
    if len(text) > max_tokens * _MOST_CHARACTERS_PER_TOKEN:
        raise TextTooLongError(
            f"the {name} has {len(text):,} characters; the limit is {max_tokens} tokens"
        )
    ids: list[int] = loaded.tokenizer(**arguments, verbose=False)["input_ids"]
    if not ids:
        raise InvalidTextError(f"the model's tokenizer finds no token in the {name}")
    if len(ids) > max_tokens:
        raise TextTooLongError(f"the {name} has {len(ids):,} tokens; the limit is {max_tokens}")
    return ids
