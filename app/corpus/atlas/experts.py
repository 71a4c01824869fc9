"""What the counts of a corpus say about its experts: loads, drops, positions and transitions.

Pure functions of `Counts`.
Intervals are percentiles of the document bootstrap (Efron 1981; `resamples`), which resolves
levels to about 98 %, and are NaN for fewer than two documents. Undefined values are NaN. A layer
or expert that is not there raises ValueError. Shares are of tokens: those of one layer sum to k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.corpus.counting.counts import Counts
from app.corpus.counting.layout import Floats, Ints
from app.corpus.counting.ratios import ratio
from app.corpus.counting.usage import bucket_starts


@dataclass(frozen=True)
class Estimate:
    """A value of each expert with its interval, float64 [E], of `n` int64 [E]."""

    value: Floats
    low: Floats
    high: Floats
    n: Ints


def load(counts: Counts, layer: int, level: float = 0.95) -> Estimate:
    """f_i = n_i / Σ_j n_j, sums to 1 (`metrics.expert_load`); n are assignments."""
    part = counts.layout.part(layer)
    found, drawn = counts.usage.assignments[part], counts.resamples.assignments[:, part]
    resampled = ratio(drawn, drawn.sum(axis=1, keepdims=True))
    return _estimate(counts, ratio(found, found.sum()), resampled, found, level)


def drop_rate(counts: Counts, layer: int, level: float = 0.95) -> Estimate:
    """Share of each expert's assignments that were dropped (Fedus et al. 2021, §2.2)."""
    part = counts.layout.part(layer)
    found, drawn = counts.usage.assignments[part], counts.resamples.assignments[:, part]
    resampled = ratio(counts.resamples.dropped[:, part], drawn)
    return _estimate(counts, ratio(counts.usage.dropped[part], found), resampled, found, level)


def mean_confidence(counts: Counts, layer: int, level: float = 0.95) -> Estimate:
    """Mean over each expert's tokens of their largest probability (`metrics.confidence`)."""
    part = counts.layout.part(layer)
    found, drawn = counts.usage.assignments[part], counts.resamples.assignments[:, part]
    resampled = ratio(counts.resamples.confidence[:, part], drawn)
    return _estimate(counts, ratio(counts.usage.confidence[part], found), resampled, found, level)


def _estimate(
    counts: Counts, value: Floats, resampled: Floats, n: NDArray[np.int64], level: float
) -> Estimate:
    if counts.documents < 2:
        undefined = np.full(len(value), np.nan)
        return Estimate(value, undefined, undefined, n.copy())
    # An expert may have no token in some resamples; one without any has none in all.
    known = ~np.isnan(resampled).all(axis=0)
    ends = np.full((2, len(value)), np.nan)
    ends[:, known] = np.nanquantile(resampled[:, known], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Estimate(value, ends[0], ends[1], n.copy())


@dataclass(frozen=True)
class PositionProfile:
    """By position bucket: its first position and its tokens, int64 [B].

    `share` float64 [E, B] of the bucket's tokens, `dropped` of each expert's assignments there.
    """

    starts: Ints
    tokens: Ints
    share: Floats
    dropped: Floats


def position_profile(counts: Counts, layer: int) -> PositionProfile:
    """P(expert | position) and the drop rate by position (OpenMoE, Xue et al. 2024, §4)."""
    part, usage = counts.layout.part(layer), counts.usage
    assigned = usage.by_position[:, part].T
    return PositionProfile(
        bucket_starts(),
        usage.position_tokens.copy(),
        ratio(assigned, usage.position_tokens),
        ratio(usage.dropped_by_position[:, part].T, assigned),
    )


@dataclass(frozen=True)
class Transitions:
    """From a layer's experts to the next layer's: `pairs` int64 [E, E'], how often.

    `share` P(next | expert), rows sum to 1; `lift` P(next | expert) / P(next), 1 by chance.
    """

    pairs: Ints
    share: Floats
    lift: Floats


@dataclass(frozen=True)
class Neighbour:
    """An expert of a neighbouring layer: its share of this expert's pairs, and the lift."""

    expert: int
    pairs: int
    share: float
    lift: float


def transitions(counts: Counts, layer: int) -> Transitions:
    """P(e_{l+1} = j | e_l = i) (`metrics.transition_matrix`) and its lift (Brin et al. 1997).

    ValueError for the last layer.
    """
    for each in (layer, layer + 1):
        counts.layout.part(each)
    pairs = counts.usage.transitions[layer]
    share = ratio(pairs, pairs.sum(axis=1, keepdims=True))
    return Transitions(pairs.copy(), share, ratio(share, ratio(pairs.sum(axis=0), pairs.sum())))


def favourites(
    counts: Counts, layer: int, expert: int, most: int = 3
) -> tuple[tuple[Neighbour, ...], tuple[Neighbour, ...]]:
    """Where an expert's tokens mostly come from and go to: predecessors, then successors.

    By falling number of pairs; empty where there is no such layer. Read shares by their lift:
    an expert with a high load is everyone's favourite.
    """
    counts.layout.slot(layer, expert)
    before: tuple[Neighbour, ...] = ()
    after: tuple[Neighbour, ...] = ()
    if layer > 0:
        before = _neighbours(counts.usage.transitions[layer - 1].T, expert, most)
    if layer < len(counts.shape) - 1:
        after = _neighbours(counts.usage.transitions[layer], expert, most)
    return before, after


def _neighbours(pairs: Ints, expert: int, most: int) -> tuple[Neighbour, ...]:
    its = pairs[expert]
    share = ratio(its, its.sum())
    lift = ratio(share, ratio(pairs.sum(axis=0), pairs.sum()))
    order = np.argsort(-its, kind="stable")[:most]
    return tuple(
        Neighbour(int(i), int(its[i]), float(share[i]), float(lift[i])) for i in order if its[i]
    )
