"""What holds for every routing: ranges, symmetries, and what copies of the tokens change."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.routing import metrics
from app.routing.bootstrap import sentence_ids
from app.routing.trace import RouterLayer

# The same examples on every machine, and no deadline: a busy machine fails no test.
settings.register_profile("metrics", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("metrics")
TINY = 1e-9


class Routing(NamedTuple):
    """Logits, softmax and the k most probable experts of T tokens."""

    logits: np.ndarray
    p: np.ndarray
    experts: np.ndarray
    num_experts: int

    @property
    def layer(self) -> RouterLayer:
        weights = np.take_along_axis(self.p, self.experts, axis=1)
        dropped = np.zeros(len(self.p), dtype=bool)
        return RouterLayer("r", "encoder", 1, self.logits, self.p, self.experts, weights, dropped)


@st.composite
def routings(draw: st.DrawFn, tokens: int | None = None, least: int = 1) -> Routing:
    n = draw(st.integers(least, 9))
    k = draw(st.integers(1, n))
    t = tokens or draw(st.integers(1, 25))
    # From undecided to as good as certain; ties among experts where the spread is 0.
    spread = draw(st.sampled_from([0.0, 0.1, 1.0, 30.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return routing_of(np.round(rng.normal(size=(t, n)) * spread, 3), k)


def routing_of(logits: np.ndarray, k: int) -> Routing:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    order = np.argsort(-p, axis=1, kind="stable")[:, :k]
    return Routing(logits, p, order, logits.shape[1])


@fixed
@given(routings())
def test_ranges(routing: Routing) -> None:
    n, k, t = routing.num_experts, routing.experts.shape[1], len(routing.p)
    found = metrics.layer_metrics(routing.layer)
    bits = math.log2(n)
    highest = {
        "load_cv": math.sqrt(n / k - 1),
        "load_gini": 1 - k / n,
        "max_violation": n / k - 1,
        "active_experts": min(n, k * t),
        "auxiliary_loss": n / k,
        "confidence": 1,
        "token_entropy": 1,
        "token_entropy_bits": bits,
        "marginal_entropy": 1,
        "marginal_entropy_bits": bits,
        "load_entropy": 1,
        "load_entropy_bits": bits,
        "token_information": min(bits, math.log2(t)),
        "margin": 1,
        "repetition": 1,
        "repetition_chance": 1,
        "drop_rate": 0,
        "dropped": 0,
        "z_loss": math.inf,
    }
    lowest = {
        "active_experts": k,
        "confidence": 1 / n,
        "load_entropy_bits": math.log2(k),
        "repetition_chance": k / n,
    }
    assert set(highest) == set(found)
    for name, value in found.items():
        if not math.isnan(value):
            # float32 probabilities and load sums round in the last places.
            assert lowest.get(name, 0) - 1e-6 <= value <= highest[name] + 1e-6, name
    for name in ("token_entropy", "marginal_entropy", "load_entropy"):
        assert math.isnan(found[name]) if n == 1 else found[name] <= 1
    for name in ("load_gini", "max_violation", "token_information"):
        assert found[name] >= 0


@fixed
@given(routings(least=2), st.randoms(use_true_random=False))
def test_the_numbering_of_experts_does_not_matter(routing: Routing, random: object) -> None:
    order = np.array(range(routing.num_experts))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = np.argsort(order)
    other = Routing(
        routing.logits[:, order], routing.p[:, order], place[routing.experts], routing.num_experts
    )
    one, two = metrics.layer_metrics(routing.layer), metrics.layer_metrics(other.layer)
    assert two == pytest.approx(one, nan_ok=True, abs=TINY)
    # Matrices turn with the numbering, what is read off them stays.
    n = routing.num_experts
    for function in (metrics.co_activation, metrics.rank_adjacent_co_activation):
        a, b = function(routing.experts, n), function(other.experts, n)
        np.testing.assert_allclose(b, a[np.ix_(order, order)])
    assert metrics.path_statistics(other.experts).distinct == (
        metrics.path_statistics(routing.experts).distinct
    )
    shift = np.roll(routing.experts, 1, axis=0)
    before = metrics.transition_information(shift, routing.experts, n, permutations=0)
    after = metrics.transition_information(shift, other.experts, n, permutations=0)
    assert after.bits == pytest.approx(before.bits, nan_ok=True, abs=TINY)


@fixed
@given(routings(), st.integers(2, 4))
def test_the_same_text_again_changes_no_mean(routing: Routing, copies: int) -> None:
    t = np.tile(np.arange(len(routing.p)), copies)
    again = Routing(routing.logits[t], routing.p[t], routing.experts[t], routing.num_experts)
    one, two = metrics.layer_metrics(routing.layer), metrics.layer_metrics(again.layer)
    for name in one:
        # The seam between copies is one more pair of neighbours.
        if name not in ("repetition", "repetition_chance"):
            assert two[name] == pytest.approx(one[name], nan_ok=True, abs=TINY), name
    n = routing.num_experts
    shift = np.roll(routing.experts, 1, axis=0)
    np.testing.assert_allclose(
        metrics.transition_matrix(shift[t], again.experts, n),
        metrics.transition_matrix(shift, routing.experts, n),
    )
    np.testing.assert_allclose(
        metrics.co_activation(again.experts, n), metrics.co_activation(routing.experts, n)
    )
    assert metrics.saturation(shift[t], again.experts) == pytest.approx(
        metrics.saturation(shift, routing.experts)
    )
    paths = metrics.path_statistics(routing.experts)
    twice = metrics.path_statistics(again.experts)
    assert twice.distinct == paths.distinct
    assert twice.share_distinct == pytest.approx(paths.share_distinct / copies)
    assert twice.entropy_bits == pytest.approx(paths.entropy_bits, abs=TINY)


@fixed
@given(routings(), st.integers(0, 2**32 - 1))
def test_the_order_of_tokens_matters_for_repetition_alone(routing: Routing, seed: int) -> None:
    t = np.random.default_rng(seed).permutation(len(routing.p))
    other = Routing(routing.logits[t], routing.p[t], routing.experts[t], routing.num_experts)
    one, two = metrics.layer_metrics(routing.layer), metrics.layer_metrics(other.layer)
    del one["repetition"], two["repetition"]
    assert two == pytest.approx(one, nan_ok=True, abs=TINY)


@fixed
@given(st.integers(2, 300), st.integers(1, 5))
def test_uniform_and_one_hot(n: int, rounds: int) -> None:
    even = np.full((rounds * n, n), 1 / n)
    one_hot = np.eye(n)[np.zeros(rounds * n, dtype=int)]
    balanced = np.tile(np.arange(n), rounds)
    load = metrics.expert_load(balanced, n)
    assert metrics.load_entropy(load).normalised == pytest.approx(1, abs=1e-14)
    assert metrics.load_entropy(load).normalised <= 1
    assert metrics.token_entropy(even).normalised <= 1
    assert metrics.token_entropy(even).bits == pytest.approx(math.log2(n))
    assert metrics.gini(load) == pytest.approx(0, abs=1e-12)
    assert metrics.coefficient_of_variation(load) == pytest.approx(0, abs=1e-12)
    assert metrics.max_violation(load) == pytest.approx(0, abs=1e-12)
    assert metrics.auxiliary_loss(even, balanced, n) == pytest.approx(1)
    assert metrics.confidence(even) == pytest.approx(1 / n)
    assert metrics.margin(even) == 0
    full = metrics.expert_load(np.zeros(rounds, dtype=int), n)
    assert metrics.load_entropy(full) == metrics.token_entropy(one_hot) == (0, 0)
    assert metrics.gini(full) == pytest.approx(1 - 1 / n)
    assert metrics.coefficient_of_variation(full) == pytest.approx(math.sqrt(n - 1))
    assert metrics.max_violation(full) == n - 1
    assert metrics.auxiliary_loss(one_hot, np.zeros(rounds * n, dtype=int), n) == n
    assert metrics.confidence(one_hot) == metrics.margin(one_hot) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (4, 2)])
def test_no_tokens_nothing_defined(n: int, k: int) -> None:
    p, experts = np.zeros((0, n)), np.zeros((0, k), dtype=np.int64)
    values = [
        *metrics.expert_load(experts, n),
        metrics.auxiliary_loss(p, experts, n),
        metrics.z_loss(p),
        *metrics.token_entropy(p),
        *metrics.marginal_entropy(p),
        *metrics.load_entropy(metrics.expert_load(experts, n)),
        metrics.token_information(p),
        metrics.mutual_information(metrics.transition_counts(experts, experts, n)),
        metrics.confidence(p),
        metrics.margin(p),
        *metrics.repetition_rate(experts, n)[:3],
        *metrics.transition_matrix(experts, experts, n).ravel(),
        *metrics.transition_information(experts, experts, n)[:3],
        *metrics.co_activation(experts, n).ravel(),
        *metrics.rank_adjacent_co_activation(experts, n).ravel(),
        *metrics.path_statistics(experts)[1:3],
        *metrics.specialisation(np.zeros(0, dtype=int), experts, 2, n).share.ravel(),
        metrics.saturation(experts, experts),
        metrics.drop_rate(np.zeros(0, dtype=bool)).overall,
    ]
    assert np.isnan(values).all()


@fixed
@given(routings(tokens=12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_transitions(routing: Routing, m: int, seed: int) -> None:
    n, k = routing.num_experts, routing.experts.shape[1]
    to = np.random.default_rng(seed).integers(0, m, (12, 1))
    counts = metrics.transition_counts(routing.experts, to, n, m)
    assert counts.shape == (n, m)
    assert counts.sum() == 12 * k
    assert (counts.sum(axis=1) == np.bincount(routing.experts.ravel(), minlength=n)).all()
    matrix = metrics.transition_matrix(routing.experts, to, n, m)
    used = counts.sum(axis=1) > 0
    assert matrix[used].sum(axis=1) == pytest.approx(1)
    assert np.isnan(matrix[~used]).all()
    assert metrics.mutual_information(counts) == pytest.approx(
        metrics.mutual_information(counts.T), abs=TINY
    )
    found = metrics.transition_information(routing.experts, to, n, 20, num_to=m)
    highest = math.log2(min(n, m)) + TINY
    assert 0 <= found.bits <= highest
    assert 0 <= found.null_mean <= highest
    assert 0 <= found.null_95 <= highest


@fixed
@given(routings(least=2))
def test_co_activation_counts_pairs(routing: Routing) -> None:
    n, k = routing.num_experts, routing.experts.shape[1]
    every = metrics.co_activation(routing.experts, n)
    neighbours = metrics.rank_adjacent_co_activation(routing.experts, n)
    if k == 1:
        assert np.isnan(every).all()
        assert np.isnan(neighbours).all()
        return
    used = np.bincount(routing.experts.ravel(), minlength=n) > 0
    assert np.nansum(every[used], axis=1) == pytest.approx(k - 1)
    assert np.isnan(every[~used]).all()
    share = np.nansum(neighbours[used], axis=1)
    assert (share <= min(2, k - 1) + TINY).all()
    assert (np.nan_to_num(neighbours) <= np.nan_to_num(every)).all()
    # N(ij) = N(ji), once the division by N(i) is undone.
    single = np.bincount(routing.experts.ravel(), minlength=n)[:, None]
    pairs = np.nan_to_num(every) * single
    np.testing.assert_allclose(pairs, pairs.T)


@fixed
@given(routings(), routings())
def test_distances_between_distributions(one: Routing, two: Routing) -> None:
    n, t = min(one.num_experts, two.num_experts), min(len(one.p), len(two.p))
    p, q = (metrics.distribution(r.p[:t, :n] + 1e-12) for r in (one, two))
    found = metrics.jensen_shannon(p, q)
    assert isinstance(found, np.ndarray)
    assert ((found >= 0) & (found <= 1)).all()
    assert (metrics.jensen_shannon(q, p) == found).all()
    assert (metrics.jensen_shannon(p, p) == 0).all()
    distance = np.sqrt(np.array([metrics.jensen_shannon(a, b) for a, b in zip(p, q, strict=True)]))
    assert distance**2 == pytest.approx(found)
    # The root is a metric: the way round over the uniform distribution is no shorter.
    even = np.full((t, n), 1 / n)
    round_about = np.sqrt(metrics.jensen_shannon(p, even)) + np.sqrt(
        metrics.jensen_shannon(even, q)
    )
    assert (distance <= round_about + 1e-7).all()


@fixed
@given(st.lists(st.lists(st.booleans(), max_size=8), max_size=6))
def test_drop_rate_by_position_averages_to_the_whole(rows: list[list[bool]]) -> None:
    found = metrics.drop_rate([np.array(row, dtype=bool) for row in rows])
    assert found.n == sum(map(len, rows))
    assert len(found.by_position) == max(map(len, rows), default=0)
    if found.n:
        reached = np.array([sum(len(r) > i for r in rows) for i in range(len(found.by_position))])
        assert found.by_position @ reached / found.n == pytest.approx(found.overall)
        assert 0 <= found.overall <= 1


@fixed
@given(routings(tokens=10), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_specialisation_averages_to_the_load(routing: Routing, labels: int, seed: int) -> None:
    n, k = routing.num_experts, routing.experts.shape[1]
    ids = np.random.default_rng(seed).integers(0, labels, 10)
    found = metrics.specialisation(ids, routing.experts, labels, n)
    assert np.nansum(found.share, axis=1)[found.counts > 0] == pytest.approx(k)
    together = found.counts @ np.nan_to_num(found.share) / (k * 10)
    assert together == pytest.approx(metrics.expert_load(routing.experts, n))
    assert found.baseline == k / n


@fixed
@given(routings())
def test_paths(routing: Routing) -> None:
    found = metrics.path_statistics(routing.experts, top=1000)
    t = len(routing.experts)
    assert 1 <= found.distinct <= t == found.n
    assert 0 <= found.entropy_bits <= math.log2(found.distinct) + TINY
    assert (np.diff(found.coverage) > 0).all()
    assert len(found.coverage) == found.distinct
    assert found.coverage[-1] == pytest.approx(1)
    # In three dimensions the k of one layer are one symbol: no more than in order of rank.
    assert metrics.path_statistics(routing.experts[:, None, :]).distinct <= found.distinct


PIECES = [
    "▁The",
    "ank",
    ".",
    "!",
    "。",
    "…",
    "\n",
    "<0x0A>",
    "</s>",
    '"',
    "▁",
    "ĠĊ",
    "我",
    "5",
    ")",
]


@fixed
@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_sentences_are_runs_of_tokens(pieces: list[str]) -> None:
    ids = sentence_ids(pieces)
    assert ids.shape == (len(pieces),)
    if pieces:
        assert ids[0] == 0
        assert set(np.diff(ids).tolist()) <= {0, 1}
        # Every sentence but a text of nothing else has some text.
        blank = {"\n", "<0x0A>", "</s>", "▁", "ĠĊ"}
        for sentence in range(1, ids[-1] + 1):
            own = {piece for piece, i in zip(pieces, ids, strict=True) if i == sentence}
            assert own - blank or sentence == ids[-1]
