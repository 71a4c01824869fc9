"""Sentence → trace, against the library's own plain encoder on tokens that are ready; and
against the floor, reading the weights that the routing depends on once from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from app.routing.capture import capture
from app.routing.encoding import encode
from app.routing.loaded import LoadedModel
from app.routing.packed import can_pack
from app.settings import ModelSpec
from benchmarks.measure import Amount, Goal, Result, Unmeasured, paired
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


def run() -> Iterator[Result | Amount | Unmeasured]:
    """One result per length: the default model, then one of the size of switch-base-8."""
    own = default_spec()
    for length in LENGTHS:
        yield _run("", default_model(), own, length, RUNS, _BUNDLED)
    for fast in (False, True):
        mode = "fast" if fast else "exact"
        what = f"switch-base-8's size, {mode}: "
        if fast and not can_pack(torch.bfloat16):
            reason = "this processor does not compute in bfloat16"
            yield Unmeasured(f"{what}sentence → trace, goal ≤ {_FAST}×", reason)
            break
        name = f"base-8@{mode}" if fast else "base-8"
        spec = ModelSpec(name, str(standin()), local=True, fast=fast)
        plain = ModelSpec("base-8", str(standin()), local=True)
        loaded = loaded_model(spec)
        for length in LENGTHS:
            most = _FAST if fast else _EXACT[length]
            yield _run(what, loaded, plain, length, RUNS_OF_FULL_SIZE, most)
            if not fast:
                yield from _floor(what, loaded, plain, length)
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


def _floor(
    what: str, loaded: LoadedModel, plain: ModelSpec, length: int
) -> Iterator[Result | Amount]:
    limit, text = max_tokens(), text_of(length, loaded)
    trace = capture(loaded, text, limit)
    needed = _needed(
        plain, {layer.name: set(layer.experts.ravel().tolist()) for layer in trace.layers}
    )

    def read(_turn: int) -> None:
        for weight in needed:
            weight.sum()

    found = paired(
        f"{what}sentence → trace, {len(trace.sequences['encoder'])} tokens",
        lambda _turn: capture(loaded, text, limit),
        "reading the weights it needs once",
        read,
        RUNS_OF_FULL_SIZE,
    )
    yield found
    size = sum(weight.nbytes for weight in needed)
    yield Amount(f"  weights needed for {length} tokens", size / 1e6, "MB")
    yield Amount("  memory read by one thread", size / 1e6 / found.baseline_ms, "GB/s")


def _needed(spec: ModelSpec, chosen: dict[str, set[int]]) -> list[torch.Tensor]:
    """The encoder's weights up to its last router: of the experts those `chosen` per router."""
    routers, needed = list(chosen), []
    for name, module in plain_model(spec).named_modules():
        if not name.startswith("encoder.block.") or type(module) is not torch.nn.Linear:
            continue
        router, expert = f"{name.partition('.mlp.')[0]}.mlp.router", name.partition(".expert_")[2]
        if expert:
            used = int(expert.partition(".")[0]) in chosen[router]
            if router == routers[-1] or not used:
                continue
        needed.append(module.weight.detach())
    return needed


def _encoder(spec: ModelSpec, ids: torch.Tensor) -> Callable[[int], None]:
    encoder: Any = plain_model(spec).get_encoder()
    mask = torch.ones_like(ids)

    def forward(_turn: int) -> None:
        with torch.inference_mode():
            encoder(input_ids=ids, attention_mask=mask)

    return forward
