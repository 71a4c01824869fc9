"""Paths, repeated tokens and pairs of experts, in words."""

from __future__ import annotations

import re

import numpy as np
from dash.development.base_component import Component

from app.components.habits import habits
from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, TokenSequence


def words(parts: object) -> str:
    """All texts of components, in order."""
    if isinstance(parts, Component):
        return words(getattr(parts, "children", None) or "")
    if isinstance(parts, list | tuple):
        return " ".join(words(part) for part in parts)
    return str(parts)


def two_experts_a_token(experts: list[list[int]], tokens: tuple[str, ...]) -> RoutingTrace:
    chosen, n = np.array(experts), 4
    probabilities = np.full((len(chosen), n), 0.1)
    np.put_along_axis(probabilities, chosen, 0.4, axis=1)
    layer = RouterLayer(
        "router",
        "decoder",
        0,
        np.log(probabilities),
        probabilities,
        chosen,
        np.full(chosen.shape, 0.5),
        np.zeros(len(chosen)),
    )
    _, ids = np.unique(tokens, return_inverse=True)
    sequence = TokenSequence(tokens, ids, np.zeros(len(tokens)))
    return RoutingTrace("text", ModelIdentity("m", "1", "M"), {"decoder": sequence}, (layer,))


def test_pairs_and_repeated_tokens_are_counted() -> None:
    trace = two_experts_a_token([[0, 1], [1, 0], [0, 1], [2, 3]], ("a", "b", "a", "c"))
    said = words(habits(trace, "decoder"))
    assert "2 distinct paths of 4 tokens" in said
    assert "0+1 3 tokens" in said.replace("  ", " ")
    assert "of 3 tokens of expert 0, 100% chose 1 too (100% at a neighbouring rank)" in said
    assert "chance 33%" in said
    assert re.search(r"a +n = 2: layer 1 expert 0 100%", said)
    assert "k/N = 50.0%" in said


def test_one_expert_a_token_has_no_pairs(loaded: LoadedModel) -> None:
    said = words(habits(capture(loaded, "One, two.", 99), "encoder"))
    assert "each token has one expert" in said
    assert "layers shuffled apart give" in said
