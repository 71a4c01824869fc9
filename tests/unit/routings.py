"""Traces made by hand, whose every number is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, Stack, TokenSequence

Spans = Sequence[tuple[int, int]]
NOWHERE = (-1, -1)


def probabilities(chosen: np.ndarray, experts: int) -> np.ndarray:
    """The chosen experts get most, equally; float32 [T, N] that sum to 1."""
    p = np.full((len(chosen), experts), 0.2 / experts)
    np.put_along_axis(p, chosen, p[0, 0] + 0.8 / chosen.shape[1], axis=1)
    return p.astype(np.float32)


def layer(chosen: Sequence[Sequence[int]], experts: int, block: int, **changes: Any) -> RouterLayer:
    """A router layer from the experts of each token."""
    picks = np.array(chosen)
    p = probabilities(picks, experts)
    stack = changes.pop("stack", "encoder")
    lost = np.isin(np.arange(len(picks)), changes.pop("dropped", ()))
    weights = np.where(lost[:, None], 0, np.take_along_axis(p, picks, axis=1))
    values: dict[str, Any] = {
        "name": f"{stack}.block.{block}.router",
        "stack": stack,
        "block": block,
        "logits": np.log(p),
        "probabilities": p,
        "experts": picks,
        "weights": weights,
        "dropped": lost,
        "capacity": 64,
    }
    return RouterLayer(**(values | changes))


def sequence(tokens: Sequence[str], offsets: Spans | None = None, **changes: Any) -> TokenSequence:
    """Tokens; the same piece has the same id."""
    ids = [sum(map(ord, token)) for token in tokens]
    special = [token.startswith("<") for token in tokens]
    values: dict[str, Any] = {"token_ids": ids, "special": special, "offsets": offsets}
    return TokenSequence(tuple(tokens), **(values | changes))


def trace(
    tokens: Sequence[str],
    chosen: Sequence[Sequence[Sequence[int]]] | None = None,
    experts: int = 4,
    **changes: Any,
) -> RoutingTrace:
    """`chosen` is [layer][token][k], by default expert 0 in one layer."""
    stack: Stack = changes.pop("stack", "encoder")
    offsets, dropped = changes.pop("offsets", None), changes.pop("dropped", ())
    chosen = chosen or [[[0]] * len(tokens)]
    values: dict[str, Any] = {
        "text": " ".join(tokens),
        "model": ModelIdentity("m", "r1", "Switch"),
        "sequences": {stack: sequence(tokens, offsets)},
        "layers": [
            layer(rows, experts, 2 * i + 1, stack=stack, dropped=dropped if i == 0 else ())
            for i, rows in enumerate(chosen)
        ],
    }
    return RoutingTrace(**(values | changes))
