"""Sentence → trace, against the library's own plain encoder on tokens that are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from app.routing.capture import capture
from app.routing.encoding import encode
from app.routing.loaded import LoadedModel
from app.settings import ModelSpec
from benchmarks.measure import Amount, Goal, Result, paired
from benchmarks.setting import (
    default_model,
    default_spec,
    loaded_model,
    max_tokens,
    plain_model,
    standin,
    text_of,
)

LENGTHS = (12, 32, 128)
RUNS, RUNS_OF_FULL_SIZE = 60, 15
_BUNDLED = 0.80
_EXACT = {12: 0.60, 32: 0.60, 128: 0.85}
_FAST = 0.40


def run() -> Iterator[Result | Amount]:
    """One result per length: the default model, then one of the size of switch-base-8."""
    own = default_spec()
    for length in LENGTHS:
        yield _run("", default_model(), own, length, RUNS, _BUNDLED)
    for fast in (False, True):
        mode = "fast" if fast else "exact"
        name = f"base-8@{mode}" if fast else "base-8"
        spec = ModelSpec(name, str(standin()), local=True, fast=fast)
        plain = ModelSpec("base-8", str(standin()), local=True)
        loaded = loaded_model(spec)
        for length in LENGTHS:
            most = _FAST if fast else _EXACT[length]
            what = f"switch-base-8's size, {mode}: "
            yield _run(what, loaded, plain, length, RUNS_OF_FULL_SIZE, most)
        if fast:
            share = loaded.provenance["fast"]["agreement"]
            yield Amount(f"{what}choices as in float32", 100 * share, "%")


def _run(
    what: str, loaded: LoadedModel, plain: ModelSpec, length: int, runs: int, most: float
) -> Result:
    limit, text = max_tokens(), text_of(length, loaded)
    ids = torch.tensor([encode(loaded, text, limit).ids])
    return paired(
        f"{what}sentence → trace, {ids.shape[1]} tokens",
        lambda _turn: capture(loaded, text, limit),
        "the library's plain float32 encoder on ready tokens",
        _encoder(plain, ids),
        runs,
        goal=Goal("ratio", most),
    )


def _encoder(spec: ModelSpec, ids: torch.Tensor) -> Callable[[int], None]:
    encoder: Any = plain_model(spec).get_encoder()
    mask = torch.ones_like(ids)

    def forward(_turn: int) -> None:
        with torch.inference_mode():
            encoder(input_ids=ids, attention_mask=mask)

    return forward
