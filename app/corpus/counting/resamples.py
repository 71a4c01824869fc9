"""Poisson bootstrap over documents: how much the counts would differ in another corpus.

Each document counts Poisson(1) times in each resample, drawn from its number (Chamandy et al.
2012, «Estimating uncertainty for massive data streams», §3): one pass, and it can be merged.
Tokens of one document depend on each other, so whole documents are drawn.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.columns import Tables, array, listed
from app.corpus.counting.hashing import Purpose, mixed
from app.corpus.counting.layout import Floats, Layout
from app.corpus.counting.sums import Sums

RESAMPLES = 200
# P(X ≤ x) as 64-bit numbers. Beyond 16 lies less than 2^−48.
_UP_TO = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(17)])
_THRESHOLDS = (_UP_TO[_UP_TO < 1] * 2**64).astype(np.uint64)


def weights(seed: int, numbers: NDArray[np.int64]) -> Floats:
    """How often each document counts in each resample, float64 [D, R], whole numbers."""
    drawn = mixed(seed, Purpose.WEIGHTS, numbers[:, None], np.arange(RESAMPLES))
    return np.searchsorted(_THRESHOLDS, drawn, side="right").astype(np.float64)


class Resamples:
    """The sums over tokens in each of R resamples, float64 [R, S].

    `assignments` and `dropped` are whole numbers, exact below 2^53.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        shape = (RESAMPLES, layout.size)
        self.assignments: Floats = np.zeros(shape)
        self.dropped: Floats = np.zeros(shape)
        self.confidence: Floats = np.zeros(shape)

    def add(self, sums: Sums, drawn: Floats) -> None:
        """Counts a batch with its documents' `weights`."""
        self.assignments += drawn.T @ sums.assignments
        self.dropped += drawn.T @ sums.dropped
        self.confidence += drawn.T @ sums.confidence

    def merge(self, other: Resamples) -> None:
        """Adds what another counted for the same layout."""
        self.assignments += other.assignments
        self.dropped += other.dropped
        self.confidence += other.confidence

    def tables(self) -> dict[str, pa.Table]:
        """`resamples`: a row per expert, lists over the resamples."""
        return {
            "resamples": pa.table(
                {
                    "layer": self._layout.layer_of,
                    "expert": self._layout.expert_of,
                    "assignments": listed(self.assignments.T.astype(np.int64)),
                    "dropped": listed(self.dropped.T.astype(np.int64)),
                    "confidence": listed(self.confidence.T),
                }
            )
        }

    @classmethod
    def loaded(cls, layout: Layout, tables: Tables) -> Resamples:
        """What `tables` wrote."""
        found, table, shape = cls(layout), tables["resamples"], (layout.size, RESAMPLES)
        found.assignments = array(table["assignments"], *shape).T.astype(np.float64)
        found.dropped = array(table["dropped"], *shape).T.astype(np.float64)
        found.confidence = array(table["confidence"], *shape).T.copy()
        return found
