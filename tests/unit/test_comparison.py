"""Two traces compared: by hand, and what must hold for any two."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from app.routing.comparison import compare, layer_pairs
from app.routing.metrics import layer_metrics
from app.routing.trace import ModelIdentity, RoutingTrace
from tests.unit.routings import layer, sequence, trace

TOKENS = ["▁a", "▁b", "▁c", "</s>"]
A = trace(TOKENS, [[[0], [1], [2], [3]], [[0], [0], [1], [1]]])
# Two tokens of four have another expert in the first layer, none in the second.
B = trace(TOKENS, [[[0], [2], [1], [3]], [[0], [0], [1], [1]]])


def random_trace(seed: int, k: int = 1, experts: int = 5, layers: int = 3) -> RoutingTrace:
    rng = np.random.default_rng(seed)
    tokens = [f"▁{rng.choice(list('abcd'))}" for _ in range(rng.integers(2, 12))]
    chosen = [[rng.permutation(experts)[:k].tolist() for _ in tokens] for _ in range(layers)]
    return trace(tokens, chosen, experts)


def test_changes_loads_and_distances_by_hand() -> None:
    (part,) = compare(A, B).stacks
    assert (part.relation, part.alignment.aligned_a) == ("same", 4)
    first, second = part.layers
    assert first.changed is not None
    assert first.changed.tolist() == [False, True, True, False]
    assert first.share_changed == 0.5
    assert second.share_changed == 0
    assert first.load_difference is not None
    assert first.load_difference.tolist() == [0, 0, 0, 0]
    # Two of four pairs of (.85, .05, .05, .05) in another order: 1.7 log2 2 − … by hand.
    p, q = 0.85, 0.05
    m = (p + q) / 2
    apart = p * math.log2(p / m) + q * math.log2(q / m)
    assert first.distance == pytest.approx(apart / 2, abs=1e-6)
    assert second.distance == pytest.approx(0, abs=1e-9)
    assert first.information is None


def test_load_difference_is_of_all_tokens() -> None:
    a = trace(["▁a", "▁b", "▁c", "▁d"], [[[0], [0], [1], [1]]], 3)
    b = trace(["▁a", "▁x"], [[[0], [2]]], 3)
    (part,) = compare(a, b).stacks
    (only,) = part.layers
    assert part.alignment.pairs.tolist() == [[0, 0]]
    assert only.load_difference is not None
    assert only.load_difference.tolist() == [0, -0.5, 0.5]
    assert only.changed is not None
    assert only.changed.tolist() == [False]


def test_the_order_of_a_set_is_no_change() -> None:
    a = trace(["▁a", "▁b"], [[[0, 1], [2, 3]]])
    b = trace(["▁a", "▁b"], [[[1, 0], [2, 0]]])
    assert compare(a, b).stacks[0].layers[0].changed.tolist() == [False, True]  # type: ignore[union-attr]


def test_a_token_dropped_in_one_of_them() -> None:
    a, b = trace(TOKENS, A_CHOICE), trace(TOKENS, A_CHOICE, dropped=(1,))
    only = compare(a, b).stacks[0].layers[0]
    assert only.dropped is not None
    assert only.dropped.tolist() == [False, True, False, False]
    assert only.share_changed == 0


A_CHOICE = [[[0], [0], [1], [2]]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2])
def test_with_itself_nothing_changes(seed: int, k: int) -> None:
    one = random_trace(seed, k)
    (part,) = compare(one, one).stacks
    assert part.alignment.pairs.tolist() == [[i, i] for i in range(len(one.layers[0].experts))]
    for each in part.layers:
        assert each.share_changed == each.distance == 0
        assert not each.load_difference.any()  # type: ignore[union-attr]
    assert all(m.difference == 0 or math.isnan(m.difference) for m in part.metrics)


@pytest.mark.parametrize("seed", range(8))
def test_swapping_negates(seed: int) -> None:
    a, b = random_trace(seed), random_trace(seed + 100)
    (there,), (back,) = compare(a, b).stacks, compare(b, a).stacks
    for one, other in zip(there.layers, back.layers, strict=True):
        assert one.load_difference == pytest.approx(-other.load_difference)  # type: ignore[operator]
        assert one.distance == pytest.approx(other.distance, nan_ok=True)
        assert len(one.changed) == len(other.changed)  # type: ignore[arg-type]
    for m, n in zip(there.metrics, back.metrics, strict=True):
        assert (m.name, m.layer, m.n_a, m.n_b) == (n.name, n.layer, n.n_b, n.n_a)
        assert m.difference == pytest.approx(-n.difference, nan_ok=True)


def test_another_revision_is_shown_with_a_caveat() -> None:
    other = replace(B, model=ModelIdentity("m", "r2", "Switch"))
    (part,) = compare(A, other).stacks
    assert part.relation == "shape"
    assert part.layers[0].share_changed == 0.5
    assert part.layers[0].information is not None
    assert "Another revision of the model of the same shape" in part.says[0]
    other = replace(B, model=ModelIdentity("n", "r1", "Switch"))
    assert "Two models of the same shape" in compare(A, other).stacks[0].says[0]


def test_models_of_another_make_have_no_changed_experts() -> None:
    tokens = [f"▁{i % 2}" for i in range(40)]
    parity = [[i % 2] for i in range(40)]
    a = trace(tokens, [parity, parity], 2)
    # The same choices under other numbers, in the middle of three layers a constant.
    renumbered = [[5 - i[0]] for i in parity]
    model = ModelIdentity("n", "r1", "Switch")
    b = trace(tokens, [renumbered, [[0]] * 40, renumbered], 8, model=model)
    (part,) = compare(a, b).stacks
    assert part.relation == "other"
    assert [(each.index_a, each.index_b) for each in part.layers] == [(0, 0), (0, 1), (1, 2)]
    assert part.depths == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    for each in part.layers:
        assert each.changed is each.load_difference is each.dropped is None
        assert math.isnan(each.distance)
        assert math.isnan(each.share_changed)
    bits = [each.information.bits for each in part.layers]  # type: ignore[union-attr]
    assert bits == pytest.approx([1, 0, 1])
    assert part.layers[0].information.n == 40  # type: ignore[union-attr]
    assert part.layers[0].information.null_95 < 0.3  # type: ignore[union-attr]
    assert "2 and 3 router layers, top-1 of 2 experts and top-1 of 8 experts" in part.says[0]


def test_a_stack_that_one_of_them_lacks_is_told() -> None:
    both = replace(
        A,
        target="x",
        sequences={"encoder": A.sequences["encoder"], "decoder": sequence(["x"])},
        layers=(*A.layers, layer([[0]], 4, 1, stack="decoder")),
    )
    found = compare(A, both)
    assert [part.stack for part in found.stacks] == ["encoder"]
    assert found.says == (
        "Only b has a decoder that was traced: there is nothing to compare it with.",
    )
    assert found.of("decoder") is found.of(None) is found.of("encoder") is found.stacks[0]
    alone = trace(["x"], stack="decoder")
    nothing = compare(A, alone)
    assert nothing.stacks == ()
    assert len(nothing.says) == 2
    assert nothing.of("encoder") is None


def test_texts_without_a_common_token_still_compare_as_wholes() -> None:
    (part,) = compare(trace(["▁a"]), trace(["▁b"], [[[1]]])).stacks
    (only,) = part.layers
    assert math.isnan(only.share_changed)
    assert math.isnan(only.distance)
    assert only.load_difference.tolist() == [-1, 1, 0, 0]  # type: ignore[union-attr]
    assert "No token of a has a partner" in part.says[-1]


def test_measures_are_those_of_the_layers_with_their_n() -> None:
    a, b = random_trace(3), random_trace(4)
    (part,) = compare(a, b).stacks
    of_cv = [m for m in part.metrics if m.name == "load_cv" and m.layer is not None]
    for place, found in enumerate(of_cv):
        assert found.a == layer_metrics(a.layers[place])["load_cv"]
        assert found.b == layer_metrics(b.layers[place])["load_cv"]
        assert (found.n_a, found.n_b) == (len(a.layers[0].experts), len(b.layers[0].experts))
    (mean,) = [m for m in part.means if m.name == "load_cv"]
    assert mean.difference == pytest.approx(np.mean([m.difference for m in of_cv]))
    # The first layer has none before it: the mean is that of the others.
    (mean,) = [m for m in part.means if m.name == "load_distance"]
    own = [m.a for m in part.metrics if m.name == "load_distance" and m.layer is not None]
    assert math.isnan(own[0])
    assert mean.a == pytest.approx(np.mean(own[1:]))


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (1, 1, [(0, 0)]),
        (3, 3, [(0, 0), (1, 1), (2, 2)]),
        (2, 4, [(0, 0), (0, 1), (1, 2), (1, 3)]),
        (4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)]),
        (1, 3, [(0, 0), (0, 1), (0, 2)]),
        # The middle one of three is as near to both of two: the shallower.
        (3, 2, [(0, 0), (1, 0), (2, 1)]),
    ],
)
def test_layers_pair_by_relative_depth(a: int, b: int, pairs: list[tuple[int, int]]) -> None:
    assert layer_pairs(a, b) == pairs
