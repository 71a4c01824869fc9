"""A uniform sample of documents with all their counts, for what totals cannot tell.

Whether experts and labels belong together can be tested by giving documents each other's
labels. That needs documents, so the 5000 with the lowest hash of their number stay (bottom-k
sampling, as in `examples`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.columns import Tables, array, listed
from app.corpus.counting.hashing import HIGHEST, Hashes, Purpose, mixed
from app.corpus.counting.layout import Ints, Layout
from app.corpus.counting.sums import Sums

DOCUMENTS = 5000


class Sampled(NamedTuple):
    """D documents by rising hash: `assignments` int32 [D, S], `labels` str [D, columns]."""

    hashes: Hashes
    numbers: Ints
    assignments: NDArray[np.int32]
    labels: NDArray[np.object_]


class DocumentSample:
    """At most 5000 documents, in memory up to twice as many."""

    def __init__(self, layout: Layout, columns: int, seed: int) -> None:
        self._seed = seed
        self._limit = HIGHEST
        self._parts = [
            Sampled(
                np.zeros(0, dtype=np.uint64),
                np.zeros(0, dtype=np.int64),
                np.zeros((0, layout.size), dtype=np.int32),
                np.zeros((0, columns), dtype=object),
            )
        ]

    def add(self, labels: Sequence[Sequence[str]], sums: Sums) -> None:
        """Looks through a batch: each document's labels, by column, and the sums."""
        hashes = mixed(self._seed, Purpose.SAMPLE, sums.numbers)
        low = hashes < self._limit
        if low.any():
            written = np.array(labels, dtype=object).reshape(len(hashes), -1)
            counts = sums.assignments[low].astype(np.int32)
            self._take(Sampled(hashes[low], sums.numbers[low], counts, written[low]))

    def merge(self, other: DocumentSample) -> None:
        """Takes what another found for the same layout, columns and seed."""
        self._take(other.documents())

    def documents(self) -> Sampled:
        """The sample."""
        if len(self._parts) > 1:
            joined = [np.concatenate(values) for values in zip(*self._parts, strict=True)]
            order = np.lexsort((joined[1], joined[0]))[:DOCUMENTS]
            self._parts = [Sampled(*(values[order] for values in joined))]
            if len(order) == DOCUMENTS:
                self._limit = self._parts[0].hashes[-1]
        return self._parts[0]

    def _take(self, found: Sampled) -> None:
        self._parts.append(found)
        if sum(len(part.hashes) for part in self._parts) > 2 * DOCUMENTS:
            self.documents()

    def tables(self) -> dict[str, pa.Table]:
        """`sample`: a row per document, lists over the experts of all layers and the labels."""
        sampled = self.documents()
        return {
            "sample": pa.table(
                {
                    "hash": sampled.hashes,
                    "document": sampled.numbers,
                    "assignments": listed(sampled.assignments),
                    "labels": pa.array(sampled.labels.tolist(), pa.list_(pa.string())),
                }
            )
        }

    @classmethod
    def loaded(cls, layout: Layout, columns: int, seed: int, tables: Tables) -> DocumentSample:
        """What `tables` wrote."""
        found, table = cls(layout, columns, seed), tables["sample"]
        rows = len(table)
        labels = np.empty((rows, columns), dtype=object)
        labels[:] = np.array(table["labels"].to_pylist(), dtype=object).reshape(rows, columns)
        found._take(
            Sampled(
                array(table["hash"], rows),
                array(table["document"], rows),
                array(table["assignments"], rows, layout.size),
                labels,
            )
        )
        return found
