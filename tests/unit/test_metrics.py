"""Metrics against values worked out by hand and against other libraries; range ends reached."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats
import sklearn.metrics

from app.routing import metrics
from app.routing.trace import RouterLayer

NONE = np.zeros((0, 1), dtype=np.int64)


def load_of(*shares: float) -> np.ndarray:
    return np.array(shares, dtype=np.float64)


def column(*experts: int) -> np.ndarray:
    """The choices of a router with k = 1, one per token."""
    return np.array(experts, dtype=np.int64)[:, None]


def random_p(tokens: int = 50, experts: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(experts, 0.5), size=tokens)


def make_layer(probabilities: Any, experts: Any, name: str = "router", **other: Any) -> RouterLayer:
    p = np.asarray(probabilities, dtype=np.float64)
    chosen = np.asarray(experts)
    values: dict[str, Any] = {
        "logits": np.log(np.maximum(p, 1e-9)),
        "weights": np.take_along_axis(p, chosen, axis=1),
        "dropped": np.zeros(len(p), dtype=bool),
    }
    values |= other
    return RouterLayer(
        name=name, stack="encoder", block=1, probabilities=p, experts=chosen, **values
    )


def all_nan(values: Any) -> bool:
    return bool(np.isnan(np.asarray(values, dtype=np.float64)).all())


class TestExpertLoad:
    def test_counts_over_tokens(self) -> None:
        load = metrics.expert_load(np.array([[0], [2], [2], [3]]), 4)
        assert load.tolist() == [0.25, 0.0, 0.5, 0.25]

    def test_every_choice_counts_with_two_experts_per_token(self) -> None:
        load = metrics.expert_load(np.array([[0, 1], [1, 2]]), 4)
        assert load.tolist() == [0.25, 0.5, 0.25, 0.0]

    def test_without_tokens_it_is_undefined(self) -> None:
        assert np.isnan(metrics.expert_load(NONE, 3)).tolist() == [True, True, True]

    @pytest.mark.parametrize("experts", [column(0, 3), column(-1, 0), np.zeros((1, 1, 1), int)])
    def test_what_cannot_be_is_refused(self, experts: np.ndarray) -> None:
        with pytest.raises(ValueError, match=r"out of range|of shape"):
            metrics.expert_load(experts, 3)


class TestCoefficientOfVariation:
    def test_balanced(self) -> None:
        assert metrics.coefficient_of_variation(load_of(0.25, 0.25, 0.25, 0.25)) == 0

    def test_one_takes_all(self) -> None:
        # mean 1/4, deviations 3/4 and three times -1/4: variance 3/16, so sqrt(3)/4 over 1/4.
        assert metrics.coefficient_of_variation(load_of(1, 0, 0, 0)) == pytest.approx(math.sqrt(3))

    def test_between(self) -> None:
        # mean 1/2, deviations ±1/4.
        assert metrics.coefficient_of_variation(load_of(0.25, 0.75)) == pytest.approx(0.5)

    def test_is_scipys(self) -> None:
        load = random_p()[0]
        expected = scipy.stats.variation(load)
        assert metrics.coefficient_of_variation(load) == pytest.approx(expected)


class TestGini:
    def test_ends(self) -> None:
        assert metrics.gini(load_of(0.25, 0.25, 0.25, 0.25)) == 0
        assert metrics.gini(load_of(0, 1, 0, 0)) == 0.75

    def test_between(self) -> None:
        # Ascending 1/4, 3/4 with factors -1, 1: 1/2 over N = 2.
        assert metrics.gini(load_of(0.75, 0.25)) == 0.25

    def test_is_half_the_relative_mean_difference(self) -> None:
        load = random_p()[0]
        differences = np.abs(load[:, None] - load[None, :]).mean()
        assert metrics.gini(load) == pytest.approx(differences / (2 * load.mean()))


def test_max_violation() -> None:
    assert metrics.max_violation(load_of(0.25, 0.25, 0.25, 0.25)) == 0
    assert metrics.max_violation(load_of(0, 1, 0, 0)) == 3
    # The fullest expert has 1.5 times its share of 1/3.
    assert metrics.max_violation(load_of(0.5, 0.3, 0.2)) == pytest.approx(0.5)


def test_active_share() -> None:
    assert metrics.active_share(load_of(0.5, 0, 0.5, 0)) == 0.5
    assert metrics.active_share(load_of(0.5, 0.5)) == 1


@pytest.mark.parametrize("load", [load_of(), load_of(0, 0), load_of(math.nan, math.nan)])
@pytest.mark.parametrize("name", "coefficient_of_variation gini max_violation active_share".split())
def test_without_a_load_nothing_of_it_is_defined(name: str, load: np.ndarray) -> None:
    assert math.isnan(getattr(metrics, name)(load))


class TestLosses:
    def test_auxiliary_loss_by_hand(self) -> None:
        # f = (1/2, 1/2, 0), P = (0.4, 0.5, 0.1): 3 · 0.45.
        p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
        assert metrics.auxiliary_loss(p, column(0, 1), 3) == pytest.approx(1.35)

    def test_auxiliary_loss_is_one_at_balance_and_n_at_collapse(self) -> None:
        assert metrics.auxiliary_loss(np.full((4, 4), 0.25), column(0, 1, 2, 3), 4) == 1
        assert metrics.auxiliary_loss(np.eye(4)[[1, 1, 1]], column(1, 1, 1), 4) == 4

    def test_auxiliary_loss_is_one_at_balance_for_two_experts_per_token(self) -> None:
        pairs = np.array([[0, 1], [2, 3]])
        assert metrics.auxiliary_loss(np.full((2, 4), 0.25), pairs, 4) == 1

    def test_z_loss_is_scipys_logsumexp_squared(self) -> None:
        x = np.random.default_rng(0).normal(size=(20, 8)) * 5
        expected = np.mean(scipy.special.logsumexp(x, axis=1) ** 2)
        assert metrics.z_loss(x) == pytest.approx(expected, rel=1e-13)

    def test_z_loss_by_hand(self) -> None:
        # ln(1 + 3) and ln(1): the mean of two squares.
        x = np.array([[0, math.log(3)], [math.log(0.5), math.log(0.5)]])
        assert metrics.z_loss(x) == pytest.approx(math.log(4) ** 2 / 2)

    def test_z_loss_does_not_overflow(self) -> None:
        assert metrics.z_loss(np.array([[1e4, 0.0]], dtype=np.float32)) == pytest.approx(1e8)
        assert metrics.z_loss(np.array([[-1e4, -2e4]])) == pytest.approx(1e8)

    def test_undefined(self) -> None:
        assert math.isnan(metrics.auxiliary_loss(np.zeros((0, 4)), NONE, 4))
        assert math.isnan(metrics.z_loss(np.zeros((0, 4))))


class TestEntropies:
    def test_undecided_and_certain(self) -> None:
        assert metrics.token_entropy(np.full((3, 8), 1 / 8)) == pytest.approx((3, 1))
        assert metrics.token_entropy(np.eye(4)) == (0, 0)

    def test_as_a_number_an_entropy_is_its_bits(self) -> None:
        assert float(metrics.token_entropy(np.full((3, 8), 1 / 8))) == pytest.approx(3)

    def test_certainty_has_no_minus_sign(self) -> None:
        assert math.copysign(1, metrics.token_entropy(np.eye(4)).bits) == 1
        assert math.copysign(1, metrics.load_entropy(load_of(0, 1)).normalised) == 1

    def test_mean_over_tokens(self) -> None:
        # H(1/2, 1/2, 0, 0) is 1 bit of 2; H(1, 0, 0, 0) is 0: mean 1/2 bit, 1/4.
        p = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
        assert metrics.token_entropy(p) == pytest.approx((0.5, 0.25))

    def test_of_the_mean(self) -> None:
        # P = (3/4, 1/4, 0, 0): 2 - 3/4 log2 3 bits.
        p = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0]])
        expected = 2 - 0.75 * math.log2(3)
        assert metrics.marginal_entropy(p) == pytest.approx((expected, expected / 2))

    def test_uneven(self) -> None:
        # H(1/4, 3/4) = 2 - 3/4 log2 3 bits, of 1.
        expected = 2 - 0.75 * math.log2(3)
        for found in (
            metrics.token_entropy(np.array([[0.25, 0.75]])),
            metrics.load_entropy(load_of(0.25, 0.75)),
        ):
            assert found == pytest.approx((expected, expected))

    def test_are_scipys(self) -> None:
        p = random_p()
        by_token = scipy.stats.entropy(p, base=2, axis=1)
        assert metrics.token_entropy(p).bits == pytest.approx(by_token.mean())
        of_mean = scipy.stats.entropy(p.mean(axis=0), base=2)
        assert metrics.marginal_entropy(p).bits == pytest.approx(of_mean)
        assert metrics.load_entropy(p[0]).bits == pytest.approx(by_token[0])

    def test_load(self) -> None:
        assert metrics.load_entropy(load_of(0.25, 0.25, 0.25, 0.25)) == pytest.approx((2, 1))
        assert metrics.load_entropy(load_of(0, 1, 0)) == (0, 0)

    def test_mixed_tokens_can_balance_the_load(self) -> None:
        # Each token is certain, all together are not: the entropies are apart.
        certain = np.eye(4)
        load = metrics.expert_load(certain.argmax(axis=1)[:, None], 4)
        assert metrics.token_entropy(certain) == (0, 0)
        assert metrics.load_entropy(load) == metrics.marginal_entropy(certain) == (2, 1)

    def test_undefined(self) -> None:
        assert all_nan(metrics.token_entropy(np.zeros((0, 4))))
        assert all_nan(metrics.marginal_entropy(np.zeros((0, 4))))
        assert all_nan(metrics.load_entropy(load_of(math.nan, math.nan)))
        assert all_nan(metrics.load_entropy(load_of()))

    def test_one_expert_has_no_bits_and_nothing_to_divide_them_by(self) -> None:
        for found in (
            metrics.token_entropy(np.ones((3, 1))),
            metrics.marginal_entropy(np.ones((3, 1))),
            metrics.load_entropy(load_of(1)),
        ):
            assert found.bits == 0
            assert math.isnan(found.normalised)


class TestInformation:
    def test_of_tokens(self) -> None:
        # Certain and balanced: the token says all of 2 bits; alike for all: nothing.
        assert metrics.token_information(np.eye(4)) == 2
        assert metrics.token_information(np.full((3, 8), 1 / 8)) == 0
        # H(3/4, 1/4) less the mean of 1 and 0 bits.
        p = np.array([[0.5, 0.5], [1, 0]])
        assert metrics.token_information(p) == pytest.approx(1.5 - 0.75 * math.log2(3))

    def test_of_tokens_is_a_jensen_shannon_divergence(self) -> None:
        p = random_p(2)
        assert metrics.token_information(p) == pytest.approx(metrics.jensen_shannon(*p))

    def test_of_tokens_undefined(self) -> None:
        assert math.isnan(metrics.token_information(np.zeros((0, 4))))

    def test_of_counts(self) -> None:
        assert metrics.mutual_information([[5, 0], [0, 5]]) == 1
        assert metrics.mutual_information([[2, 4], [3, 6]]) == pytest.approx(0, abs=1e-15)
        # H(A) = H(B) = 1 bit; H(A, B) = H(3/8, 1/8, 1/8, 3/8) = 3 - 3/4 log2 3.
        expected = 0.75 * math.log2(3) - 1
        assert metrics.mutual_information([[3, 1], [1, 3]]) == pytest.approx(expected)

    def test_of_counts_is_scikit_learns(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, 5, 200), rng.integers(0, 7, 200)
        counts = np.zeros((5, 7), dtype=np.int64)
        np.add.at(counts, (a, b), 1)
        nats = sklearn.metrics.mutual_info_score(a, b)
        assert metrics.mutual_information(counts) == pytest.approx(nats / math.log(2))

    def test_of_counts_undefined(self) -> None:
        assert math.isnan(metrics.mutual_information(np.zeros((3, 3))))
        assert math.isnan(metrics.mutual_information(np.zeros((0, 0))))


def test_distribution() -> None:
    scores = np.array([[0.9, 0.6], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    found = metrics.distribution(scores)
    assert found[[0, 2]] == pytest.approx(np.array([[0.6, 0.4], [1, 0]]), rel=1e-6)
    assert all_nan(found[1])
    p = random_p()
    assert metrics.distribution(p) == pytest.approx(p, rel=1e-14)


def test_confidence() -> None:
    assert metrics.confidence(np.array([[0.7, 0.3], [0.1, 0.9]])) == pytest.approx(0.8)
    assert metrics.confidence(np.full((2, 4), 0.25)) == 0.25
    assert math.isnan(metrics.confidence(np.zeros((0, 4))))


def test_margin() -> None:
    assert metrics.margin(np.array([[0.2, 0.7, 0.1], [0.4, 0.4, 0.2]])) == pytest.approx(0.25)
    assert metrics.margin(np.eye(3)) == 1
    assert math.isnan(metrics.margin(np.zeros((0, 4))))
    assert math.isnan(metrics.margin(np.ones((2, 1))))


class TestRepetition:
    def test_first_choices(self) -> None:
        # 0=0, 0≠1, 1=1; loads 1/2, 1/2.
        assert metrics.repetition_rate(column(0, 0, 1, 1), 4) == pytest.approx(
            (2 / 3, 0.5, 0.25, 3)
        )
        assert float(metrics.repetition_rate(np.array([0, 0, 0]))) == 1

    def test_without_the_number_of_experts_one_null_is_missing(self) -> None:
        found = metrics.repetition_rate(column(0, 2, 2))
        assert found[:2] == pytest.approx((0.5, 5 / 9))
        assert math.isnan(found.chance_uniform)

    def test_two_experts_per_token(self) -> None:
        # Shared: {1}, {1, 2} in another order, none. Loads 1/8, 3/8, 2/8, 2/8; ranks don't matter.
        experts = np.array([[0, 1], [1, 2], [2, 1], [3, 4]])
        rate, load, uniform, pairs = metrics.repetition_rate(experts, 8)
        assert rate == pytest.approx((0.5 + 1 + 0) / 3)
        assert load == pytest.approx(2 * (1 + 9 + 4 + 1 + 1) / 64)
        assert (uniform, pairs) == (0.25, 3)

    @pytest.mark.parametrize(("k", "experts"), [(1, 5), (2, 6), (3, 8)])
    def test_nulls_are_what_independent_tokens_give(self, k: int, experts: int) -> None:
        rng = np.random.default_rng(1)
        weights = rng.dirichlet(np.full(experts, 2.0))
        keys = np.log(weights) + rng.gumbel(size=(20_000, experts))
        found = metrics.repetition_rate(np.argsort(-keys, axis=1)[:, :k], experts)
        assert found.rate == pytest.approx(found.chance_load, abs=0.01)
        even = metrics.repetition_rate(np.argsort(rng.random((20_000, experts)))[:, :k], experts)
        assert even.rate == pytest.approx(even.chance_uniform, abs=0.01)

    @pytest.mark.parametrize("experts", [NONE, column(1)])
    def test_undefined(self, experts: np.ndarray) -> None:
        found = metrics.repetition_rate(experts, 4)
        assert all_nan(found[:3])
        assert found.n == 0


class TestTransitions:
    FROM, TO = column(0, 0, 0, 1), column(1, 1, 2, 0)

    def test_counts_and_shares(self) -> None:
        counts = metrics.transition_counts(self.FROM, self.TO, 3)
        assert counts.tolist() == [[0, 2, 1], [1, 0, 0], [0, 0, 0]]
        matrix = metrics.transition_matrix(self.FROM, self.TO, 3)
        assert matrix[:2] == pytest.approx(np.array([[0, 2 / 3, 1 / 3], [1, 0, 0]]))
        assert all_nan(matrix[2])

    def test_counts_are_scikit_learns(self) -> None:
        a, b = np.random.default_rng(0).integers(0, 4, (2, 100))
        expected = sklearn.metrics.confusion_matrix(a, b, labels=range(4))
        assert (metrics.transition_counts(a, b, 4) == expected).all()

    def test_all_pairs_of_two_choices(self) -> None:
        counts = metrics.transition_counts(np.array([[0, 1]]), np.array([[1, 2]]), 3)
        assert counts.tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]

    def test_layers_may_differ_in_experts_and_choices(self) -> None:
        counts = metrics.transition_counts(column(0, 1), np.array([[3, 0], [1, 2]]), 2, 4)
        assert counts.tolist() == [[1, 0, 0, 1], [0, 1, 1, 0]]

    def test_what_cannot_be_is_refused(self) -> None:
        with pytest.raises(ValueError, match="tokens"):
            metrics.transition_counts(column(0), column(0, 1), 2)
        with pytest.raises(ValueError, match="out of range"):
            metrics.transition_counts(column(0), column(2), 3, 2)

    def test_without_tokens(self) -> None:
        assert metrics.transition_counts(NONE, NONE, 2).tolist() == [[0, 0], [0, 0]]
        assert all_nan(metrics.transition_matrix(NONE, NONE, 2))
        assert metrics.transition_information(NONE, NONE, 2)[-1] == 0
        assert all_nan(metrics.transition_information(NONE, NONE, 2)[:3])
        assert all_nan(metrics.transition_information(column(1), column(1), 2)[:3])

    def test_information_of_a_fixed_relabelling_is_the_entropy(self) -> None:
        a = column(*range(4)).repeat(10, axis=0)
        found = metrics.transition_information(a, (a + 1) % 4, 4)
        assert float(found) == pytest.approx(2)
        assert found.null_mean < found.null_95 < 0.7
        assert found.n == 40

    def test_information_stays_within_its_null_for_unrelated_layers(self) -> None:
        rng = np.random.default_rng(3)
        above = 0
        for _ in range(40):
            a, b = rng.integers(0, 8, (2, 40, 1))
            found = metrics.transition_information(a, b, 8)
            above += found.bits > found.null_95
            # Far from 0 though nothing connects them: this is why the null is given.
            assert found.null_mean > 0.5
        assert above <= 6

    def test_null_permutes_tokens(self) -> None:
        # Two tokens, two experts: half of all orders keep the bit, half turn it around.
        found = metrics.transition_information(column(0, 1), column(0, 1), 2)
        assert found[:3] == (1, 1, 1)
        # (0, 0, 1) against (0, 0, 1): one third of the orders keep it.
        whole = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
        other = whole - 2 / 3
        found = metrics.transition_information(column(0, 0, 1), column(0, 0, 1), 2, 3000)
        assert found.bits == pytest.approx(whole)
        assert found.null_mean == pytest.approx(whole / 3 + 2 * other / 3, abs=0.02)

    @pytest.mark.parametrize(
        ("tokens", "n", "k", "m", "j"),
        [(40, 8, 1, 8, 1), (40, 8, 2, 5, 3), (3, 64, 8, 64, 8), (700, 2, 1, 3, 2)],
    )
    def test_null_is_the_information_of_the_permuted_tokens(
        self, tokens: int, n: int, k: int, m: int, j: int
    ) -> None:
        # Unequal loads; with 700 tokens a pair comes up more often than one byte can count.
        rng = np.random.default_rng(1)
        a = np.argsort(rng.random((tokens, n)) + np.linspace(0, 0.5, n))[:, :k]
        b = np.argsort(rng.random((tokens, m)) + np.linspace(0, 0.5, m))[:, :j]
        found = metrics.transition_information(a, b, n, 30, seed=5, num_to=m)
        orders = np.tile(np.arange(tokens), (30, 1))
        null = [
            metrics.mutual_information(metrics.transition_counts(a, b[order], n, m))
            for order in np.random.default_rng(5).permuted(orders, axis=1)
        ]
        assert found.bits == metrics.mutual_information(metrics.transition_counts(a, b, n, m))
        assert found.null_mean == pytest.approx(np.mean(null), abs=1e-12)
        assert found.null_95 == pytest.approx(np.quantile(null, 0.95), abs=1e-12)

    def test_an_expert_chosen_twice_counts_twice(self) -> None:
        a, b = np.array([[0, 0]] * 200 + [[1, 0]] * 3), np.array([[1, 1]] * 200 + [[0, 1]] * 3)
        found = metrics.transition_information(a, b, 2, 1)
        order = np.random.default_rng(0).permuted(np.arange(203)[None], axis=1)[0]
        null = metrics.mutual_information(metrics.transition_counts(a, b[order], 2))
        assert found.null_mean == pytest.approx(null, abs=1e-12)

    def test_what_no_order_changes_is_its_own_null(self) -> None:
        # One layer has no choice: exactly 0, and no rounding left over.
        a = np.random.default_rng(0).integers(0, 7, (61, 1))
        for sides in ((a, a * 0), (a * 0, a)):
            assert metrics.transition_information(*sides, 7)[:3] == (0, 0, 0)

    def test_null_depends_on_its_seed_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, 8, (30, 1)), np.argsort(rng.random((30, 6)))[:, :2]
        first = metrics.transition_information(a, b, 8, num_to=6)
        assert metrics.transition_information(a, b, 8, num_to=6, seed=1) != first
        # In small portions, as for texts too long for one.
        monkeypatch.setattr(metrics, "_ENTRIES", 200)
        assert metrics.transition_information(a, b, 8, num_to=6) == first

    def test_no_permutations_no_null(self) -> None:
        found = metrics.transition_information(column(0, 1), column(0, 1), 2, permutations=0)
        assert found.bits == 1
        assert all_nan(found[1:3])


class TestCoActivation:
    EXPERTS = np.array([[0, 1, 2], [2, 0, 3]])

    def test_all_pairs(self) -> None:
        found = metrics.co_activation(self.EXPERTS, 5)
        nan = math.nan
        expected = [
            [nan, 0.5, 1, 0.5, 0],
            [1, nan, 1, 0, 0],
            [1, 0.5, nan, 0.5, 0],
            [1, 0, 1, nan, 0],
            [nan] * 5,
        ]
        np.testing.assert_equal(found, np.array(expected))

    def test_neighbouring_ranks_only(self) -> None:
        # 0–1, 1–2 of the first token, 2–0, 0–3 of the second.
        found = metrics.rank_adjacent_co_activation(self.EXPERTS, 5)
        nan = math.nan
        expected = [
            [nan, 0.5, 0.5, 0.5, 0],
            [1, nan, 1, 0, 0],
            [0.5, 0.5, nan, 0, 0],
            [1, 0, 0, nan, 0],
            [nan] * 5,
        ]
        np.testing.assert_equal(found, np.array(expected))

    def test_two_choices_are_always_neighbours(self) -> None:
        experts = np.argsort(np.random.default_rng(0).random((30, 6)))[:, :2]
        np.testing.assert_equal(
            metrics.co_activation(experts, 6), metrics.rank_adjacent_co_activation(experts, 6)
        )

    @pytest.mark.parametrize("experts", [NONE, column(0, 1), np.zeros((0, 2), dtype=np.int64)])
    def test_undefined(self, experts: np.ndarray) -> None:
        for function in (metrics.co_activation, metrics.rank_adjacent_co_activation):
            found = function(experts, 3)
            assert found.shape == (3, 3)
            assert all_nan(found)


class TestPaths:
    def test_by_hand(self) -> None:
        # Paths 0-1 twice, 1-1 and 2-0 once: H(1/2, 1/4, 1/4) is 1.5 bits.
        found = metrics.path_statistics(np.array([[0, 1], [1, 1], [0, 1], [2, 0]]))
        assert (found.distinct, found.share_distinct, found.entropy_bits, found.n) == (
            3,
            0.75,
            1.5,
            4,
        )
        assert found.coverage.tolist() == [0.5, 0.75, 1]

    def test_coverage_of_the_top_ones(self) -> None:
        found = metrics.path_statistics(np.arange(20)[:, None], top=3)
        assert found.coverage == pytest.approx(np.array([0.05, 0.1, 0.15]))

    def test_order_within_a_layer_makes_no_path(self) -> None:
        # [T, L, k]: the first two tokens have the same sets, the third has them swapped.
        experts = np.array([[[0, 1], [2, 3]], [[1, 0], [2, 3]], [[2, 3], [0, 1]]])
        assert metrics.path_statistics(experts).distinct == 2

    def test_layers_that_differ_in_experts_and_choices(self) -> None:
        p = np.full((3, 4), 0.25)
        layers = (
            make_layer(p, [[0, 1], [1, 0], [0, 1]], "a"),
            make_layer(p[:, :2] * 2, [[0], [0], [1]], "b"),
        )
        found = metrics.trace_paths(layers)
        assert (found.distinct, found.n) == (2, 3)
        assert found.coverage == pytest.approx(np.array([2 / 3, 1]))

    def test_undefined(self) -> None:
        for found in (
            metrics.path_statistics(np.zeros((0, 3), dtype=np.int64)),
            metrics.path_statistics(np.zeros((0, 3, 2), dtype=np.int64)),
            metrics.trace_paths([]),
        ):
            assert (found.distinct, found.coverage.tolist(), found.n) == (0, [], 0)
            assert all_nan(found[1:3])
        assert all_nan(metrics.path_statistics(np.zeros((3, 0), dtype=np.int64))[1:3])


class TestSpecialisation:
    def test_by_hand(self) -> None:
        labels = np.array([0, 0, 0, 0, 2])
        found = metrics.specialisation(labels, column(1, 1, 1, 0, 3), 3, 4)
        assert found.share[[0, 2]].tolist() == [[0.25, 0.75, 0, 0], [0, 0, 0, 1]]
        assert all_nan(found.share[1])
        assert found.baseline == 0.25
        assert found.counts.tolist() == [4, 0, 1]

    def test_two_experts_per_token_share_out_two(self) -> None:
        found = metrics.specialisation(np.array([0, 0]), np.array([[0, 1], [1, 2]]), 1, 4)
        assert found.share.tolist() == [[0.5, 1, 0.5, 0]]
        assert found.baseline == 0.5

    def test_undefined(self) -> None:
        found = metrics.specialisation(np.zeros(0, dtype=np.int64), NONE, 2, 3)
        assert all_nan(found.share)
        assert found.counts.tolist() == [0, 0]

    def test_a_label_out_of_range_is_refused(self) -> None:
        with pytest.raises(ValueError, match="out of range"):
            metrics.specialisation(np.array([0, 3]), column(0, 0), 3, 2)


class TestJensenShannon:
    def test_ends(self) -> None:
        assert metrics.jensen_shannon([0.3, 0.7], [0.3, 0.7]) == 0
        assert metrics.jensen_shannon([1, 0], [0, 1]) == 1

    def test_by_hand(self) -> None:
        # m = (3/4, 1/4): H(m) - (0 + 1)/2.
        expected = 2 - 0.75 * math.log2(3) - 0.5
        assert metrics.jensen_shannon([1, 0], [0.5, 0.5]) == pytest.approx(expected)

    def test_is_the_square_of_scipys_distance(self) -> None:
        p, q = random_p(seed=0), random_p(seed=1)
        expected = scipy.spatial.distance.jensenshannon(p, q, base=2, axis=1) ** 2
        found = metrics.jensen_shannon(p, q)
        assert found == pytest.approx(expected)
        assert metrics.jensen_shannon(p[0], q[0]) == pytest.approx(expected[0])

    def test_no_tokens_no_values(self) -> None:
        assert np.shape(metrics.jensen_shannon(np.zeros((0, 4)), np.zeros((0, 4)))) == (0,)

    @pytest.mark.parametrize(
        "q",
        [[0.5, 0.6], [0.5, 0.498], [1.5, -0.5], [math.nan, 1], [], [1.0], [[0.5, 0.5]]],
    )
    def test_what_is_no_distribution_is_refused(self, q: Any) -> None:
        with pytest.raises(ValueError, match=r"distribution|shapes"):
            metrics.jensen_shannon([0.5, 0.5], q)


class TestSaturation:
    def test_shared_experts_whatever_their_rank(self) -> None:
        assert metrics.saturation(column(0, 1, 2, 3), column(0, 1, 3, 2)) == 0.5
        a, b = np.array([[0, 1], [2, 3]]), np.array([[1, 0], [3, 4]])
        assert metrics.saturation(a, b) == 0.75

    def test_undefined_and_refused(self) -> None:
        assert math.isnan(metrics.saturation(NONE, NONE))
        with pytest.raises(ValueError, match="differ"):
            metrics.saturation(column(0, 1), np.array([[0, 1], [1, 2]]))


class TestDropRate:
    def test_of_one_text(self) -> None:
        found = metrics.drop_rate(np.array([True, False, False, False]))
        assert float(found) == found.overall == 0.25
        assert found.by_position.tolist() == [1, 0, 0, 0]
        assert found.n == 4
        assert metrics.drop_rate(np.array([False])).overall == 0

    def test_by_position_over_those_that_reach_it(self) -> None:
        rows = [np.array([False, True, True]), np.array([False, False]), np.zeros(0, dtype=bool)]
        found = metrics.drop_rate(rows)
        assert found.overall == 0.4
        assert found.by_position.tolist() == [0, 0.5, 1]
        assert found.n == 5

    @pytest.mark.parametrize("dropped", [np.zeros(0, dtype=bool), [], [np.zeros(0, dtype=bool)]])
    def test_undefined(self, dropped: Any) -> None:
        found = metrics.drop_rate(dropped)
        assert math.isnan(found.overall)
        assert (found.by_position.tolist(), found.n) == ([], 0)


class TestLayerMetrics:
    def test_put_them_together(self) -> None:
        layer = make_layer(
            [[0.5, 0.25, 0.25, 0], [0.5, 0.5, 0, 0], [0.25, 0.75, 0, 0]],
            [[0], [0], [1]],
            logits=np.zeros((3, 4)),
            weights=np.array([[0.5], [0.0], [0.75]]),
            dropped=np.array([False, True, False]),
            capacity=1,
        )
        third = 1 / 3
        uneven = 2 - 0.75 * math.log2(3)
        load_bits = -(2 * third * math.log2(2 * third) + third * math.log2(third))
        mean = [1.25 / 3, 1.5 / 3, 0.25 / 3]
        mean_bits = -sum(share * math.log2(share) for share in mean)
        expected = {
            # load 2/3, 1/3, 0, 0 around a mean of 1/4; a dropped token counts where it was sent.
            "load_cv": math.sqrt(((5 / 12) ** 2 + (1 / 12) ** 2 + 2 * (1 / 4) ** 2) / 4) * 4,
            "load_entropy": load_bits / 2,
            "token_entropy": (1.5 + 1 + uneven) / 6,
            "active_experts": 2,
            "confidence": (0.5 + 0.5 + 0.75) / 3,
            "dropped": 1,
            "load_gini": (third + 3 * 2 * third) / 4,
            "max_violation": 4 * 2 / 3 - 1,
            "auxiliary_loss": 4 * (2 * mean[0] + mean[1]) / 3,
            "z_loss": math.log(4) ** 2,
            "token_entropy_bits": (1.5 + 1 + uneven) / 3,
            "marginal_entropy": mean_bits / 2,
            "marginal_entropy_bits": mean_bits,
            "load_entropy_bits": load_bits,
            "token_information": mean_bits - (1.5 + 1 + uneven) / 3,
            "margin": (0.25 + 0 + 0.5) / 3,
            "repetition": 0.5,
            "repetition_chance": 5 / 9,
            "drop_rate": third,
        }
        assert metrics.layer_metrics(layer) == pytest.approx(expected)

    def test_scores_that_do_not_sum_to_one_are_normalised(self) -> None:
        p = random_p(20, 4).astype(np.float32)
        chosen = np.argsort(-p, axis=1)[:, :2]
        softmax = make_layer(p, chosen)
        sigmoid = make_layer(
            p / 2, chosen, logits=softmax.logits, weights=softmax.weights, score_function="sigmoid"
        )
        assert metrics.layer_metrics(sigmoid) == pytest.approx(metrics.layer_metrics(softmax))

    def test_a_token_without_any_score_is_left_out_of_what_scores_tell(self) -> None:
        p = np.array([[0.5, 0.5], [0.9, 0.1], [0, 0]])
        found = metrics.layer_metrics(make_layer(p, column(0, 0, 1), score_function="sigmoid"))
        assert found["confidence"] == pytest.approx(0.7)
        assert found["auxiliary_loss"] == pytest.approx(2 * (0.7 * 2 + 0.3) / 3)
        assert found["load_gini"] == pytest.approx(1 / 6)
        none = metrics.layer_metrics(make_layer(p * 0, column(0, 0, 1), score_function="sigmoid"))
        assert math.isnan(none["token_entropy"])
        assert math.isnan(none["auxiliary_loss"])

    def test_one_token_and_one_expert(self) -> None:
        found = metrics.layer_metrics(make_layer([[1.0]], [[0]]))
        undefined = {name for name, value in found.items() if math.isnan(value)}
        assert undefined == {
            "load_entropy",
            "token_entropy",
            "marginal_entropy",
            "margin",
            "repetition",
            "repetition_chance",
        }


class TestStackMetrics:
    P = np.full((4, 4), 0.25)

    def layers(self) -> list[RouterLayer]:
        return [
            make_layer(self.P, column(0, 1, 2, 3), "a"),
            make_layer(self.P, column(1, 1, 3, 3), "b"),
            make_layer(self.P[:, :2] * 2, column(0, 0, 1, 1), "c"),
            make_layer(self.P, column(0, 1, 3, 3), "d"),
        ]

    def test_by_hand(self) -> None:
        found = metrics.stack_metrics(self.layers())
        assert found["saturation"] == pytest.approx([0.75, 0.75, math.nan, 1], nan_ok=True)
        # a → b and b → c are functions, d adds to c half a bit of its own.
        bits = [math.nan, 1, 1, 1]
        assert found["transition_information"] == pytest.approx(bits, nan_ok=True)
        # Balanced against half empty: H(1/8, 3/8, 1/8, 3/8) less (2 + 1)/2.
        distance = 3 - 0.75 * math.log2(3) - 1.5
        expected = [math.nan, distance, math.nan, math.nan]
        assert found["load_distance"] == pytest.approx(expected, nan_ok=True)
        null = metrics.transition_information(column(0, 1, 2, 3), column(1, 1, 3, 3), 4).null_mean
        assert found["transition_null"][1] == null
        assert math.isnan(found["transition_null"][0])

    def test_layers_that_differ_in_choices_are_not_compared(self) -> None:
        layers = [make_layer(self.P, [[0, 1]] * 4, "a"), make_layer(self.P, [[0]] * 4, "b")]
        found = metrics.stack_metrics(layers)
        assert found["saturation"] == pytest.approx([math.nan, 1], nan_ok=True)
        assert found["transition_information"][1] == 0

    def test_no_layers(self) -> None:
        assert set(map(len, metrics.stack_metrics([]).values())) == {0}

    def test_two_stacks_are_refused(self) -> None:
        layers = [*self.layers(), make_layer(self.P[:2], column(0, 1), "e")]
        for function in (metrics.stack_metrics, metrics.trace_paths):
            with pytest.raises(ValueError, match="one stack"):
                function(layers)


def test_every_recorded_measure_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    layer = make_layer([[0.5, 0.5]], [[0]])
    names = {*metrics.layer_metrics(layer), *metrics.stack_metrics([layer])}
    assert {name for name in names if f"`{name}`" not in text} == set()
    # Two equal headings would move the second one's anchor.
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    assert len(set(headings)) == len(headings)
