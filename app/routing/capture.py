"""Runs a model on texts and records what its routers did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from app.routing.errors import InvalidTextError, TextTooLongError, TraceError
from app.routing.models import LoadedModel
from app.routing.routers.base import RouterOutput, RouterSite
from app.routing.trace import RouterLayer, RoutingTrace, TokenSequence

# A character makes at most a few tokens and a token at most this many characters, so a text
# beyond this is over any limit and is refused without being tokenised.
_MOST_CHARACTERS_PER_TOKEN = 64


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


def encode(loaded: LoadedModel, text: str, max_tokens: int) -> list[int]:
    """Token ids of a text, special tokens included.

    Raises InvalidTextError, or TextTooLongError beyond `max_tokens`.
    """
    check_text(text)
    if len(text) > max_tokens * _MOST_CHARACTERS_PER_TOKEN:
        raise TextTooLongError(
            f"the text has {len(text):,} characters; the limit is {max_tokens} tokens"
        )
    ids: list[int] = loaded.tokenizer(text, verbose=False)["input_ids"]
    if not ids:
        raise InvalidTextError("the model's tokenizer finds no token in the text")
    if len(ids) > max_tokens:
        raise TextTooLongError(f"the text has {len(ids):,} tokens; the limit is {max_tokens}")
    return ids


def capture(loaded: LoadedModel, text: str, max_tokens: int) -> RoutingTrace:
    """The routing of one text through the encoder's routers.

    Raises InvalidTextError, TextTooLongError, or TraceError if the model's routers
    contradict themselves.
    """
    return capture_batch(loaded, [text], max_tokens)[0]


def capture_batch(loaded: LoadedModel, texts: Sequence[str], max_tokens: int) -> list[RoutingTrace]:
    """The routing of each text, run together as one padded batch.

    Padding stands right of the tokens: it is masked in attention, comes after them in
    every expert's queue, and is cut off here, so a trace does not depend on its batch.
    Raises what `capture` raises if any of the texts cannot be analysed.
    """
    if not texts:
        return []
    sequences = [encode(loaded, text, max_tokens) for text in texts]
    longest = max(map(len, sequences))
    pad = loaded.tokenizer.pad_token_id or 0
    ids = torch.tensor([seq + [pad] * (longest - len(seq)) for seq in sequences])
    lengths = torch.tensor([len(seq) for seq in sequences])
    mask = (torch.arange(longest)[None, :] < lengths[:, None]).long()

    sites = [site for site in loaded.reader.sites if site.stack == "encoder"]
    outputs = _run_encoder(loaded, sites, ids, mask)
    return [
        RoutingTrace(
            text=text,
            model=loaded.identity,
            sequences={"encoder": _tokens(loaded, seq)},
            layers=tuple(
                _layer(site, output, row, len(seq))
                for site, output in zip(sites, outputs, strict=True)
            ),
            provenance={**loaded.provenance, "mode": "encoder", "max_tokens": max_tokens},
        )
        for row, (text, seq) in enumerate(zip(texts, sequences, strict=True))
    ]


def _run_encoder(
    loaded: LoadedModel, sites: Sequence[RouterSite], ids: Tensor, mask: Tensor
) -> list[RouterOutput]:
    recorded: list[list[RouterOutput]] = [[] for _ in sites]
    with loaded.lock, torch.inference_mode(), ExitStack() as hooks:
        for site, calls in zip(sites, recorded, strict=True):
            for handle in loaded.reader.attach(site, calls.append):
                hooks.callback(handle.remove)
        loaded.model.get_encoder()(input_ids=ids, attention_mask=mask)
    for site, calls in zip(sites, recorded, strict=True):
        if len(calls) != 1:
            raise TraceError(f"{site.name} fired {len(calls)} times in one pass")
    return [calls[0] for calls in recorded]


def _tokens(loaded: LoadedModel, ids: list[int]) -> TokenSequence:
    special = set(loaded.tokenizer.all_special_ids)
    return TokenSequence(
        tokens=tuple(loaded.tokenizer.convert_ids_to_tokens(ids)),
        token_ids=ids,  # type: ignore[arg-type]
        special=[token in special for token in ids],  # type: ignore[arg-type]
    )


def _layer(site: RouterSite, output: RouterOutput, row: int, length: int) -> RouterLayer:
    return RouterLayer(
        name=site.name,
        stack=site.stack,
        block=site.block,
        logits=output.logits[row, :length].numpy(),
        probabilities=output.probabilities[row, :length].numpy(),
        experts=output.experts[row, :length].numpy(),
        weights=output.weights[row, :length].numpy(),
        dropped=output.dropped[row, :length].numpy(),
        score_function=site.score_function,
        capacity=site.capacity,
    )
