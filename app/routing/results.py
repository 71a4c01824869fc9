"""What the metrics that give more than one number return (app/routing/metrics.py)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Entropy(NamedTuple):
    """An entropy in bits, and divided by log2 N (in [0, 1]; NaN for N = 1)."""

    bits: float
    normalised: float

    def __float__(self) -> float:
        return self.bits


class Repetition(NamedTuple):
    """Repetition of experts from token to token, two chance levels, n pairs of tokens."""

    rate: float
    chance_load: float
    chance_uniform: float
    n: int

    def __float__(self) -> float:
        return self.rate


class TransitionInformation(NamedTuple):
    """Mutual information in bits, mean and 95th percentile of its null, n tokens."""

    bits: float
    null_mean: float
    null_95: float
    n: int

    def __float__(self) -> float:
        return self.bits


class Paths(NamedTuple):
    """Paths of n tokens: how many, per token, their entropy; `coverage[m-1]` of the top m."""

    distinct: int
    share_distinct: float
    entropy_bits: float
    coverage: Floats
    n: int


class Specialisation(NamedTuple):
    """`share` float64 [labels, N], the share k/N that chance gives, `counts` int64 [labels]."""

    share: Floats
    baseline: float
    counts: Counts


class DropRate(NamedTuple):
    """Share of dropped tokens, overall and float64 by position; n tokens."""

    overall: float
    by_position: Floats
    n: int

    def __float__(self) -> float:
        return self.overall
