"""How much each expert was used: in all, by position in the document, and layer after layer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.columns import Tables, array
from app.corpus.counting.layout import Ints, Layout
from app.corpus.counting.sums import Sums
from app.routing.metrics import transition_counts

# Each position below 4, then 4–7, 8–15 and so on, the last from 2^20 up.
BUCKETS = 23


def bucket(positions: NDArray[np.int64]) -> Ints:
    """The bucket of each position, int64 of the same shape."""
    doublings = np.frexp(positions)[1].astype(np.int64)
    return np.minimum(np.where(positions < 4, positions, doublings + 1), BUCKETS - 1)


def bucket_starts() -> Ints:
    """The first position of each bucket, int64 [B]."""
    buckets = np.arange(BUCKETS)
    return np.where(buckets < 4, buckets, 2 ** np.maximum(buckets - 2, 0))


class Usage:
    """Totals over tokens, for S slots, L layers and B position buckets.

    `assignments`, `dropped` int64 [S]; `probability`, `confidence` float64 [S], sums over tokens
    and over assigned tokens; `entropy` (bits), `margin` float64 [L]; `by_position`,
    `dropped_by_position` int64 [B, S]; `position_tokens` int64 [B]; `transitions` int64 [E, E']
    for each pair of neighbouring layers, every pair of chosen experts counted once.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        slots, layers = layout.size, layout.layers
        self.assignments = np.zeros(slots, dtype=np.int64)
        self.dropped = np.zeros(slots, dtype=np.int64)
        self.probability = np.zeros(slots)
        self.confidence = np.zeros(slots)
        self.entropy = np.zeros(len(layers))
        self.margin = np.zeros(len(layers))
        self.by_position = np.zeros((BUCKETS, slots), dtype=np.int64)
        self.dropped_by_position = np.zeros((BUCKETS, slots), dtype=np.int64)
        self.position_tokens = np.zeros(BUCKETS, dtype=np.int64)
        self.transitions = [
            np.zeros((layer.num_experts, following.num_experts), dtype=np.int64)
            for layer, following in pairwise(layers)
        ]

    def add(self, batch: RoutedBatch, sums: Sums) -> None:
        """Counts a batch with its sums."""
        self.assignments += sums.assignments.sum(axis=0).astype(np.int64)
        self.dropped += sums.dropped.sum(axis=0).astype(np.int64)
        self.confidence += sums.confidence.sum(axis=0)
        self.probability += sums.probability
        self.entropy += sums.entropy
        self.margin += sums.margin
        buckets = bucket(batch.positions)
        self.position_tokens += np.bincount(buckets, minlength=BUCKETS)
        for index, layer in enumerate(batch.layers):
            part, experts = self._layout.part(index), self._layout.layers[index].num_experts
            keys, size = buckets[:, None] * experts + layer.experts, BUCKETS * experts
            for totals, counted in (
                (self.by_position, keys),
                (self.dropped_by_position, keys[layer.dropped]),
            ):
                counts = np.bincount(counted.ravel(), minlength=size)
                totals[:, part] += counts.reshape(BUCKETS, experts)
        for counts, (layer, following) in zip(
            self.transitions, pairwise(batch.layers), strict=True
        ):
            counts += transition_counts(layer.experts, following.experts, *counts.shape)

    def merge(self, other: Usage) -> None:
        """Adds what another counted for the same layout."""
        for mine, its in zip(self._arrays(), other._arrays(), strict=True):
            mine += its

    def _arrays(self) -> list[NDArray[np.int64] | NDArray[np.float64]]:
        return [
            *(self.assignments, self.dropped, self.probability, self.confidence),
            *(self.entropy, self.margin),
            *(self.by_position, self.dropped_by_position, self.position_tokens),
            *self.transitions,
        ]

    def tables(self) -> dict[str, pa.Table]:
        """`experts`, `layers`, `positions`, `position_tokens` and `transitions`."""
        layout = self._layout
        pairs = [
            np.stack((np.full(counts.size, layer), *np.indices(counts.shape).reshape(2, -1)))
            for layer, counts in enumerate(self.transitions)
        ]
        layers, experts, following = np.concatenate([np.zeros((3, 0), np.int64), *pairs], axis=1)
        moved = [counts.ravel() for counts in self.transitions]
        return {
            "experts": pa.table(
                {
                    "layer": layout.layer_of,
                    "expert": layout.expert_of,
                    "assignments": self.assignments,
                    "dropped": self.dropped,
                    "probability": self.probability,
                    "confidence": self.confidence,
                }
            ),
            "layers": pa.table({"entropy_bits": self.entropy, "margin": self.margin}),
            "positions": pa.table(
                {
                    "from_position": np.repeat(bucket_starts(), layout.size),
                    "layer": np.tile(layout.layer_of, BUCKETS),
                    "expert": np.tile(layout.expert_of, BUCKETS),
                    "assignments": self.by_position.ravel(),
                    "dropped": self.dropped_by_position.ravel(),
                }
            ),
            "position_tokens": pa.table(
                {"from_position": bucket_starts(), "tokens": self.position_tokens}
            ),
            "transitions": pa.table(
                {
                    "layer": layers,
                    "expert": experts,
                    "next_expert": following,
                    "pairs": np.concatenate([np.zeros(0, np.int64), *moved]),
                }
            ),
        }

    @classmethod
    def loaded(cls, layout: Layout, tables: Tables) -> Usage:
        """What `tables` wrote."""
        usage, experts, by_position = cls(layout), tables["experts"], tables["positions"]
        usage.assignments = array(experts["assignments"], layout.size)
        usage.dropped = array(experts["dropped"], layout.size)
        usage.probability = array(experts["probability"], layout.size)
        usage.confidence = array(experts["confidence"], layout.size)
        usage.entropy = array(tables["layers"]["entropy_bits"], len(layout.layers))
        usage.margin = array(tables["layers"]["margin"], len(layout.layers))
        usage.by_position = array(by_position["assignments"], BUCKETS, layout.size)
        usage.dropped_by_position = array(by_position["dropped"], BUCKETS, layout.size)
        usage.position_tokens = array(tables["position_tokens"]["tokens"], BUCKETS)
        pairs, start = array(tables["transitions"]["pairs"], -1), 0
        for counts in usage.transitions:
            counts[:] = pairs[start : start + counts.size].reshape(counts.shape)
            start += counts.size
        return usage
