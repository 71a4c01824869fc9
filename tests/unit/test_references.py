"""What chance gives: against simulation, and against cases that can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from app.routing.metrics import coefficient_of_variation, expert_load, layer_metrics
from app.routing.references import DEFINITIONS, path_chance, reference
from app.routing.trace import RouterLayer


def layer(experts: np.ndarray, num_experts: int, name: str = "router") -> RouterLayer:
    logits = np.zeros((len(experts), num_experts))
    even = np.full(logits.shape, 1 / num_experts)
    weights = np.full(experts.shape, 1 / experts.shape[1])
    dropped = np.zeros(len(experts))
    return RouterLayer(name, "encoder", 1, logits, even, experts, weights, dropped)


def random_choices(tokens: int, k: int, num_experts: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.argsort(random.random((tokens, num_experts)), axis=1)[:, :k]


@pytest.mark.parametrize(("tokens", "k", "num_experts"), [(30, 1, 8), (30, 2, 8), (12, 4, 6)])
def test_the_levels_of_load_are_those_of_random_choices(
    tokens: int, k: int, num_experts: int
) -> None:
    squares, active = [], []
    for seed in range(600):
        load = expert_load(random_choices(tokens, k, num_experts, seed), num_experts)
        squares.append(coefficient_of_variation(load) ** 2)
        active.append(np.count_nonzero(load))
    one = layer(random_choices(tokens, k, num_experts, 0), num_experts)
    assert reference("load_cv", one, {}) == pytest.approx(np.sqrt(np.mean(squares)), rel=0.05)
    assert reference("active_experts", one, {}) == pytest.approx(np.mean(active), rel=0.02)


def test_every_recorded_measure_has_a_definition() -> None:
    values = layer_metrics(layer(random_choices(9, 2, 5, 1), 5))
    assert set(values) <= set(DEFINITIONS)
    assert all(each.text for each in DEFINITIONS.values() if each.level)


def test_paths_of_one_expert_are_one_whatever_is_shuffled() -> None:
    same = [layer(np.full((7, 1), 2), 4, name) for name in "abc"]
    assert path_chance(same) == (1.0, 0.0)


def test_connected_layers_have_fewer_paths_than_shuffled_ones() -> None:
    choices = random_choices(40, 1, 4, 5)
    chance = path_chance([layer(choices, 4, name) for name in "abc"])
    assert 4 < chance.distinct < 40
    assert 2 < chance.entropy_bits < np.log2(40)


def test_no_layers_no_chance() -> None:
    assert np.isnan(path_chance([])).all()
