"""Sentence → trace, against the bare model's encoder on tokens that are ready."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from app.routing.capture import capture
from app.routing.encoding import encode
from benchmarks.measure import Result, paired
from benchmarks.setting import default_model, max_tokens, text_of

LENGTHS = (12, 32, 128)
RUNS = 60


def run() -> Iterator[Result]:
    """One result per length."""
    for length in LENGTHS:
        yield _run(length)


def _run(length: int) -> Result:
    loaded, limit = default_model(), max_tokens()
    encoder = loaded.model.get_encoder()
    text = text_of(length)
    ids = torch.tensor([encode(loaded, text, limit).ids])
    mask = torch.ones_like(ids)

    def forward(_turn: int) -> None:
        with torch.inference_mode():
            encoder(input_ids=ids, attention_mask=mask)

    return paired(
        f"sentence → trace, {ids.shape[1]} tokens",
        lambda _turn: capture(loaded, text, limit),
        "the bare encoder on ready tokens",
        forward,
        RUNS,
    )
