"""Metrics against values worked out by hand; each range's ends are reached."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.routing import metrics
from app.routing.trace import RouterLayer


def load_of(*shares: float) -> np.ndarray:
    return np.array(shares, dtype=np.float64)


class TestExpertLoad:
    def test_counts_over_tokens(self) -> None:
        load = metrics.expert_load(np.array([[0], [2], [2], [3]]), 4)
        assert load.tolist() == [0.25, 0.0, 0.5, 0.25]

    def test_every_choice_counts_with_two_experts_per_token(self) -> None:
        load = metrics.expert_load(np.array([[0, 1], [1, 2]]), 4)
        assert load.tolist() == [0.25, 0.5, 0.25, 0.0]

    def test_without_tokens_it_is_undefined(self) -> None:
        assert np.isnan(metrics.expert_load(np.zeros((0, 1), dtype=np.int64), 3)).tolist() == [
            True,
            True,
            True,
        ]


class TestCoefficientOfVariation:
    def test_balanced(self) -> None:
        assert metrics.coefficient_of_variation(load_of(0.25, 0.25, 0.25, 0.25)) == 0

    def test_one_takes_all(self) -> None:
        # mean 1/4, deviations 3/4 and three times -1/4: variance 3/16, so sqrt(3)/4 over 1/4.
        assert metrics.coefficient_of_variation(load_of(1, 0, 0, 0)) == pytest.approx(math.sqrt(3))

    def test_between(self) -> None:
        # mean 1/2, deviations ±1/4.
        assert metrics.coefficient_of_variation(load_of(0.25, 0.75)) == pytest.approx(0.5)

    @pytest.mark.parametrize("load", [load_of(), load_of(0, 0), load_of(math.nan, math.nan)])
    def test_undefined(self, load: np.ndarray) -> None:
        assert math.isnan(metrics.coefficient_of_variation(load))


class TestActiveShare:
    def test_share_of_experts_with_a_token(self) -> None:
        assert metrics.active_share(load_of(0.5, 0, 0.5, 0)) == 0.5
        assert metrics.active_share(load_of(0.5, 0.5)) == 1

    @pytest.mark.parametrize("load", [load_of(), load_of(math.nan, math.nan)])
    def test_undefined(self, load: np.ndarray) -> None:
        assert math.isnan(metrics.active_share(load))


class TestEntropies:
    def test_undecided_and_certain(self) -> None:
        assert metrics.token_entropy(np.full((3, 8), 1 / 8)) == pytest.approx(1)
        assert metrics.token_entropy(np.eye(4)) == 0

    def test_mean_over_tokens(self) -> None:
        # H(1/2, 1/2, 0, 0) is 1 bit of 2; H(1, 0, 0, 0) is 0: mean 1/4.
        p = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
        assert metrics.token_entropy(p) == pytest.approx(0.25)

    def test_uneven(self) -> None:
        # H(1/4, 3/4) = 2 - 3/4 log2 3 bits, of 1.
        expected = 2 - 0.75 * math.log2(3)
        assert metrics.token_entropy(np.array([[0.25, 0.75]])) == pytest.approx(expected)
        assert metrics.load_entropy(load_of(0.25, 0.75)) == pytest.approx(expected)

    def test_load(self) -> None:
        assert metrics.load_entropy(load_of(0.25, 0.25, 0.25, 0.25)) == pytest.approx(1)
        assert metrics.load_entropy(load_of(0, 1, 0)) == 0

    def test_mixed_tokens_can_balance_the_load(self) -> None:
        # Each token is certain, all together are not: the two entropies are apart.
        certain = np.eye(4)
        load = metrics.expert_load(certain.argmax(axis=1)[:, None], 4)
        assert (metrics.token_entropy(certain), metrics.load_entropy(load)) == (0, 1)

    def test_undefined(self) -> None:
        assert math.isnan(metrics.token_entropy(np.zeros((0, 4))))
        assert math.isnan(metrics.token_entropy(np.ones((3, 1))))
        assert math.isnan(metrics.load_entropy(load_of(math.nan, math.nan)))


def test_confidence() -> None:
    assert metrics.confidence(np.array([[0.7, 0.3], [0.1, 0.9]])) == pytest.approx(0.8)
    assert metrics.confidence(np.full((2, 4), 0.25)) == 0.25
    assert math.isnan(metrics.confidence(np.zeros((0, 4))))


def test_drop_rate() -> None:
    assert metrics.drop_rate(np.array([True, False, False, False])) == 0.25
    assert metrics.drop_rate(np.array([False])) == 0
    assert math.isnan(metrics.drop_rate(np.zeros(0, dtype=bool)))


def test_layer_metrics_put_them_together() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25, 0], [0.5, 0.5, 0, 0], [0.25, 0.75, 0, 0]])
    layer = RouterLayer(
        name="encoder.block.1.layer.1.mlp.router",
        stack="encoder",
        block=1,
        logits=np.log(np.maximum(probabilities, 1e-9)),
        probabilities=probabilities,
        experts=np.array([[0], [0], [1]]),
        weights=np.array([[0.5], [0.0], [0.75]]),
        dropped=np.array([False, True, False]),
        capacity=1,
    )
    uneven = (2 - 0.75 * math.log2(3)) / 2
    third = 1 / 3
    expected = {
        # load 2/3, 1/3, 0, 0 around a mean of 1/4; a dropped token counts where it was sent.
        "load_cv": math.sqrt(((5 / 12) ** 2 + (1 / 12) ** 2 + 2 * (1 / 4) ** 2) / 4) * 4,
        "load_entropy": -(2 * third * math.log2(2 * third) + third * math.log2(third)) / 2,
        "token_entropy": (0.75 + 0.5 + uneven) / 3,
        "active_experts": 2,
        "confidence": (0.5 + 0.5 + 0.75) / 3,
        "dropped": 1,
    }
    assert metrics.layer_metrics(layer) == pytest.approx(expected)
