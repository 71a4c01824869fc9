"""Which experts the documents of each label value went to, with their resamples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.columns import Tables, array, listed
from app.corpus.counting.hashing import rank
from app.corpus.counting.layout import Floats, Ints, Layout
from app.corpus.counting.resamples import RESAMPLES
from app.corpus.counting.sums import Sums

# Where a column has more values, those with the lowest `rank` are counted one by one.
MOST_VALUES = 200
OTHER = "other"


class Labels:
    """Counts of one label column by value: row 0 is «other», then `values` in sorted order.

    `documents`, `tokens` int64 [V]; `assignments` int64 [V, S]; `resampled_tokens` float64
    [V, R], `resampled` float64 [V, R, S], whole numbers. Documents without a label ("") are left
    out. The first 200 values by a hash of their text are counted, whatever came first: one that
    is among them is among the first 200 of any part of the corpus as well, so its counts are
    whole, and merged parts equal the corpus to the bit. All others, and a value of that name,
    are «other». Memory is 1600 · V · S bytes.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.values: tuple[str, ...] = ()
        self.documents: Ints = np.zeros(1, dtype=np.int64)
        self.tokens: Ints = np.zeros(1, dtype=np.int64)
        self.assignments: Ints = np.zeros((1, layout.size), dtype=np.int64)
        self.resampled_tokens: Floats = np.zeros((1, RESAMPLES))
        self.resampled: Floats = np.zeros((1, RESAMPLES, layout.size))

    @property
    def names(self) -> tuple[str, ...]:
        """The value of each row."""
        return (OTHER, *self.values)

    def rows(self, values: Sequence[str]) -> Ints:
        """The row of each value, 0 for those not counted one by one, −1 for no label."""
        places = {value: row for row, value in enumerate(self.values, 1)} | {"": -1}
        return np.array([places.get(value, 0) for value in values], dtype=np.int64)

    def add(self, values: Sequence[str], sums: Sums, drawn: Floats) -> None:
        """Counts a batch: the value of each document, its sums and `weights`."""
        self._admit(values)
        rows = self.rows(values)
        for row in np.unique(rows[rows >= 0]):
            its = rows == row
            its_weights, its_assignments = drawn[its].T, sums.assignments[its]
            self.documents[row] += its.sum()
            self.tokens[row] += sums.tokens[its].sum()
            self.assignments[row] += its_assignments.sum(axis=0).astype(np.int64)
            self.resampled_tokens[row] += its_weights @ sums.tokens[its]
            self.resampled[row] += its_weights @ its_assignments

    def merge(self, other: Labels) -> None:
        """Adds what another counted for the same column and layout."""
        self._admit(other.values)
        places = self.rows(other.names)
        np.add.at(self.documents, places, other.documents)
        np.add.at(self.tokens, places, other.tokens)
        np.add.at(self.assignments, places, other.assignments)
        np.add.at(self.resampled_tokens, places, other.resampled_tokens)
        np.add.at(self.resampled, places, other.resampled)

    def _admit(self, values: Sequence[str]) -> None:
        """Makes rows for new values; those that lose theirs become «other»."""
        known = {*self.values}
        found = known.union(values) - {"", OTHER}
        admitted = sorted(sorted(found, key=lambda value: (rank(value), value))[:MOST_VALUES])
        if {*admitted} == known:
            return
        before, self.values = self.names, tuple(admitted)
        places, size = self.rows(before), len(self.names)
        self.documents = _regrouped(self.documents, places, size)
        self.tokens = _regrouped(self.tokens, places, size)
        self.assignments = _regrouped(self.assignments, places, size)
        self.resampled_tokens = _regrouped(self.resampled_tokens, places, size)
        self.resampled = _regrouped(self.resampled, places, size)

    def tables(self) -> dict[str, pa.Table]:
        """`labels`, a row per value, and `label_experts`, a row per value and expert."""
        layout, rows = self._layout, len(self.names)
        names = pa.array(self.names, pa.string())
        return {
            "labels": pa.table(
                {
                    "value": names,
                    "documents": self.documents,
                    "tokens": self.tokens,
                    "resampled_tokens": listed(self.resampled_tokens.astype(np.int64)),
                }
            ),
            "label_experts": pa.table(
                {
                    "value": names.take(pa.array(np.repeat(np.arange(rows), layout.size))),
                    "layer": np.tile(layout.layer_of, rows),
                    "expert": np.tile(layout.expert_of, rows),
                    "assignments": self.assignments.ravel(),
                    "resampled": listed(
                        self.resampled.transpose(0, 2, 1).reshape(-1, RESAMPLES).astype(np.int64)
                    ),
                }
            ),
        }

    @classmethod
    def loaded(cls, layout: Layout, tables: Tables) -> Labels:
        """What `tables` wrote."""
        found, table, by_expert = cls(layout), tables["labels"], tables["label_experts"]
        names = table["value"].to_pylist()
        rows, found.values = len(names), tuple(names[1:])
        found.documents = array(table["documents"], rows)
        found.tokens = array(table["tokens"], rows)
        found.assignments = array(by_expert["assignments"], rows, layout.size)
        resampled = array(by_expert["resampled"], rows, layout.size, RESAMPLES)
        found.resampled = resampled.transpose(0, 2, 1).astype(np.float64)
        drawn = array(table["resampled_tokens"], rows, RESAMPLES)
        found.resampled_tokens = drawn.astype(np.float64)
        return found


def _regrouped(values: NDArray[Any], places: Ints, size: int) -> NDArray[Any]:
    """The rows of `values` at their new places, those without one added up at 0."""
    found = np.zeros((size, *values.shape[1:]), dtype=values.dtype)
    found[places] = values
    found[0] = values[places == 0].sum(axis=0)
    return found
