"""Computed again: the smallest difference is found, and said where it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.routing.reproduction import reproduce
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, TokenSequence
from tests.unit.routings import trace

PROVENANCE = {"libraries": {"torch": "2.13.0"}, "dtype": "float32", "max_tokens": 512, "threads": 1}
OLD = trace(
    ["▁a", "▁b", "</s>"], [[[0], [1], [1]], [[2], [2], [3]]], provenance=PROVENANCE, dropped=(2,)
)


def with_layer(layer: RouterLayer, index: int = 1) -> RoutingTrace:
    layers = list(OLD.layers)
    layers[index] = layer
    return replace(OLD, layers=tuple(layers))


def test_the_same_is_identical() -> None:
    found = reproduce(OLD, RoutingTrace.from_bytes(OLD.to_bytes()))
    assert found.identical
    assert found.differences == found.environment == ()
    assert (found.max_logit_difference, found.changed_experts, found.n) == (0, 0, 6)
    assert found.sizes == (("encoder", 3, 2),)


@pytest.mark.parametrize("name", ["logits", "probabilities", "weights"])
@pytest.mark.parametrize("index", [0, 1])
def test_one_changed_bit_is_found(name: str, index: int) -> None:
    values = getattr(OLD.layers[index], name).copy()
    values.view(np.uint32)[1, 0] ^= 1
    found = reproduce(OLD, with_layer(replace(OLD.layers[index], **{name: values}), index))
    assert not found.identical
    (said,) = found.differences
    assert said.startswith(f"encoder.block.{2 * index + 1}.router: {name} differ by at most ")
    assert said.endswith("0 of 3 tokens chose another expert")
    assert (found.max_logit_difference > 0) == (name == "logits")


def test_the_sign_of_a_zero_is_a_bit() -> None:
    zero, minus = (np.array(OLD.layers[0].logits) for _ in "ab")
    zero[0, 0], minus[0, 0] = 0.0, -0.0
    layers = [replace(OLD.layers[0], logits=logits) for logits in (zero, minus)]
    found = reproduce(with_layer(layers[0], 0), with_layer(layers[1], 0))
    assert not found.identical
    assert "sign of a zero" in found.differences[0]


def test_changed_experts_and_drops_are_counted() -> None:
    other = trace(["▁a", "▁b", "</s>"], [[[0], [1], [1]], [[2], [3], [0]]], provenance=PROVENANCE)
    found = reproduce(OLD, other)
    assert found.changed_experts == 2
    assert found.n == 6
    first, second = found.differences
    assert "1 were dropped in one of them only" in first
    assert "2 of 3 tokens chose another expert" in second
    assert found.max_logit_difference == pytest.approx(np.log(0.85 / 0.05), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token_ids": [1, 2, 3]}, "encoder: ids of 3 of 3 tokens differ"),
        ({"tokens": ("▁a", "▁x", "</s>")}, "encoder: 1 of 3 tokens are written otherwise"),
        ({"generated": [False, False, True]}, "marks of generated tokens of 1 of 3"),
    ],
)
def test_other_tokens_are_told(changes: dict[str, object], said: str) -> None:
    tokens: TokenSequence = replace(OLD.sequences["encoder"], **changes)  # type: ignore[arg-type]
    found = reproduce(OLD, replace(OLD, sequences={"encoder": tokens}))
    assert not found.identical
    assert said in found.differences[0]


def test_another_number_of_tokens_compares_no_numbers() -> None:
    found = reproduce(OLD, trace(["▁a"], [[[0]], [[1]]], text=OLD.text, provenance=PROVENANCE))
    assert found.differences[0] == "encoder: 3 tokens → 1 tokens"
    assert "3 tokens, top-1 of 4 experts → 1 tokens" in found.differences[1]
    assert found.n == 0


def test_an_output_and_layers_that_came_or_went_are_told() -> None:
    found = reproduce(replace(OLD, output="so it was"), replace(OLD, layers=OLD.layers[:1]))
    assert found.differences == (
        "output: so it was → none",
        "encoder.block.3.router: not there any more",
    )
    assert reproduce(replace(OLD, layers=OLD.layers[:1]), OLD).differences == (
        "encoder.block.3.router: was not there",
    )


def test_the_environment_is_no_difference() -> None:
    changed = {**PROVENANCE, "libraries": {"torch": "2.14.0"}, "threads": 2, "python": "3.12.1"}
    other = replace(OLD, provenance=changed, model=ModelIdentity("m", "r2", "Switch"))
    found = reproduce(OLD, other)
    assert found.identical
    assert found.environment == ("weights r1 → r2", "torch 2.13.0 → 2.14.0", "threads 1 → 2")
    stopped = replace(OLD, provenance={**PROVENANCE, "stopped": True})
    assert reproduce(OLD, stopped).environment == ("stopped not recorded → True",)


def test_places_of_tokens_are_no_result() -> None:
    placed = replace(OLD.sequences["encoder"], offsets=[(0, 1), (2, 3), (-1, -1)])  # type: ignore[arg-type]
    assert reproduce(OLD, replace(OLD, sequences={"encoder": placed})).identical
