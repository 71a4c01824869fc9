"""Which experts each token of the vocabulary went to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.columns import Tables, array
from app.corpus.counting.layout import Ints, Layout

# Keys that wait before they are counted: sorting many at once is cheaper than often a few.
PENDING = 2_000_000


class Entries(NamedTuple):
    """How often a token went to a slot, three int64 of one length. Only counts above 0."""

    token_ids: Ints
    slots: Ints
    counts: Ints


class TokenTable:
    """Sparse counts by token and slot, sorted; no larger than the vocabulary allows.

    `tokens` int64 [vocabulary] counts each token, `special` bool [vocabulary] marks those that
    stood for no text.
    """

    def __init__(self, layout: Layout, vocabulary: int) -> None:
        self._layout = layout
        self.tokens: Ints = np.zeros(vocabulary, dtype=np.int64)
        self.special: NDArray[np.bool_] = np.zeros(vocabulary, dtype=np.bool_)
        self._keys: Ints = np.zeros(0, dtype=np.int64)
        self._counts: Ints = np.zeros(0, dtype=np.int64)
        self._pending: list[Ints] = []

    def add(self, batch: RoutedBatch) -> None:
        """Counts a batch. ValueError for a token outside the vocabulary."""
        ids, size = batch.token_ids, len(self.tokens)
        if len(ids) and not 0 <= ids.min() <= ids.max() < size:
            raise ValueError(f"a token id is outside the vocabulary of {size}")
        self.tokens += np.bincount(ids, minlength=size)
        self.special[ids[batch.special]] = True
        starts = ids[:, None] * self._layout.size
        for offset, layer in zip(self._layout.offsets, batch.layers, strict=False):
            self._pending.append((starts + offset + layer.experts).ravel())
        if sum(map(len, self._pending)) > PENDING:
            self._compact()

    def merge(self, other: TokenTable) -> None:
        """Adds what another counted for the same layout and vocabulary."""
        self._compact()
        other._compact()
        self.tokens += other.tokens
        self.special |= other.special
        self._count(other._keys, other._counts)

    def entries(self) -> Entries:
        """All of them, by token and then by slot."""
        self._compact()
        return Entries(*np.divmod(self._keys, self._layout.size), self._counts)

    def of_token(self, token_id: int) -> Ints:
        """How often one token went to each slot, int64 [S]. ValueError outside the vocabulary."""
        if not 0 <= token_id < len(self.tokens):
            raise ValueError(f"token id {token_id} is outside the vocabulary")
        self._compact()
        size = self._layout.size
        first, last = np.searchsorted(self._keys, [token_id * size, (token_id + 1) * size])
        found = np.zeros(size, dtype=np.int64)
        found[self._keys[first:last] - token_id * size] = self._counts[first:last]
        return found

    def _compact(self) -> None:
        if self._pending:
            keys, counts = np.unique(np.concatenate(self._pending), return_counts=True)
            self._pending = []
            self._count(keys, counts)

    def _count(self, keys: Ints, counts: Ints) -> None:
        both = np.concatenate((self._keys, keys))
        self._keys, places = np.unique(both, return_inverse=True)
        totals = np.zeros(len(self._keys), dtype=np.int64)
        np.add.at(totals, places, np.concatenate((self._counts, counts)))
        self._counts = totals

    def tables(self) -> dict[str, pa.Table]:
        """`tokens`, a row per token seen, and `token_experts`, a row per count above 0."""
        token_ids, slots, counts = self.entries()
        seen = np.flatnonzero(self.tokens)
        return {
            "tokens": pa.table(
                {"token_id": seen, "tokens": self.tokens[seen], "special": self.special[seen]}
            ),
            "token_experts": pa.table(
                {
                    "token_id": token_ids,
                    "layer": self._layout.layer_of[slots],
                    "expert": self._layout.expert_of[slots],
                    "assignments": counts,
                }
            ),
        }

    @classmethod
    def loaded(cls, layout: Layout, vocabulary: int, tables: Tables) -> TokenTable:
        """What `tables` wrote."""
        found, table, by_expert = cls(layout, vocabulary), tables["tokens"], tables["token_experts"]
        seen = array(table["token_id"], -1)
        found.tokens[seen] = array(table["tokens"], -1)
        found.special[seen] = array(table["special"], -1)
        slots = layout.offsets[array(by_expert["layer"], -1)] + array(by_expert["expert"], -1)
        found._keys = array(by_expert["token_id"], -1) * layout.size + slots
        found._counts = array(by_expert["assignments"], -1)
        return found
