"""Tokens of each expert to look at: a uniform sample of all that were assigned to it.

Bottom-k sampling (Cohen and Kaplan 2007, «Summarizing data using bottom-k sketches»): the k
lowest hashes are a sample without replacement, and the lowest of two parts are the whole's.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from operator import attrgetter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.columns import Tables, clean
from app.corpus.counting.hashing import HIGHEST, Hashes, Purpose, mixed
from app.corpus.counting.layout import Ints, Layout
from app.corpus.counting.sums import shares

EXAMPLES = 24
_AROUND = 60


@dataclass(frozen=True, slots=True)
class Example:
    """One assigned token, its probability for this expert, and the text around it.

    `document` is the document's number, `position` the token's place in it; `before` and
    `after` are up to 60 characters.
    """

    hash: int
    document: int
    position: int
    token_id: int
    probability: float
    before: str
    text: str
    after: str


_ORDER = attrgetter("hash", "document", "position")
_TYPES = (pa.uint64(), *[pa.int64()] * 3, pa.float64(), *[pa.string()] * 3)
_SCHEMA = pa.schema(
    [("layer", pa.int64()), ("expert", pa.int64())]
    + [(field.name, kind) for field, kind in zip(fields(Example), _TYPES, strict=True)]
)


class Examples:
    """Up to 24 examples of each slot, by hash. Tokens without text are none."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout = layout
        self._seed = seed
        self._kept: list[list[Example]] = [[] for _ in range(layout.size)]
        # A hash must be lower to be kept.
        self._limits: Hashes = np.full(layout.size, HIGHEST)

    def of(self, slot: int) -> tuple[Example, ...]:
        """The examples of one slot."""
        return tuple(self._kept[slot])

    def add(self, batch: RoutedBatch) -> None:
        """Looks through a batch."""
        begins, ends = batch.spans.T
        rows = np.flatnonzero(~batch.special & (begins >= 0) & (ends > begins))
        numbers = np.array([each.number for each in batch.documents], dtype=np.int64)
        places = (numbers[batch.document_of[rows]], batch.positions[rows])
        start = mixed(self._seed, Purpose.EXAMPLES, *places)[:, None]
        for index, layer in enumerate(batch.layers):
            experts = layer.experts[rows]
            hashes = mixed(start, index, experts)
            slots = self._layout.offsets[index] + experts
            which, choice = np.nonzero(hashes < self._limits[slots])
            found, owners = hashes[which, choice], slots[which, choice]
            lowest = _lowest(found, owners)
            tokens, owners = rows[which[lowest]], owners[lowest]
            its = experts[which[lowest], choice[lowest]]
            p = shares(layer.probabilities[tokens])[np.arange(len(tokens)), its]
            for slot in np.unique(owners):
                mine = np.flatnonzero(owners == slot)
                self._keep(
                    int(slot),
                    [_example(batch, tokens[i], found[lowest[i]], p[i]) for i in mine],
                )

    def merge(self, other: Examples) -> None:
        """Takes what another found for the same layout and seed."""
        for slot, more in enumerate(other._kept):
            self._keep(slot, more)

    def _keep(self, slot: int, more: list[Example]) -> None:
        kept = sorted(self._kept[slot] + more, key=_ORDER)[:EXAMPLES]
        self._kept[slot] = kept
        if len(kept) == EXAMPLES:
            self._limits[slot] = kept[-1].hash

    def tables(self) -> dict[str, pa.Table]:
        """`examples`: a row each."""
        rows = [
            (int(self._layout.layer_of[slot]), int(self._layout.expert_of[slot]), *astuple(each))
            for slot, kept in enumerate(self._kept)
            for each in kept
        ]
        columns = zip(*rows, strict=True) if rows else [[] for _ in _SCHEMA]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, _SCHEMA, strict=True)]
        return {"examples": pa.table(arrays, schema=_SCHEMA)}

    @classmethod
    def loaded(cls, layout: Layout, seed: int, tables: Tables) -> Examples:
        """What `tables` wrote."""
        found = cls(layout, seed)
        for row in tables["examples"].to_pylist():
            slot = layout.slot(row.pop("layer"), row.pop("expert"))
            found._keep(slot, [Example(**row)])
        return found


def _lowest(hashes: Hashes, owners: Ints) -> NDArray[np.intp]:
    """Where the lowest hashes of each owner are, at most as many as are kept."""
    order = np.lexsort((hashes, owners))
    ranked = owners[order]
    place = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    return order[place < EXAMPLES]


def _example(batch: RoutedBatch, token: int, found: np.uint64, probability: float) -> Example:
    document = batch.documents[batch.document_of[token]]
    begin, end = batch.spans[token].tolist()
    return Example(
        hash=int(found),
        document=document.number,
        position=int(batch.positions[token]),
        token_id=int(batch.token_ids[token]),
        probability=float(probability),
        before=clean(document.text[max(0, begin - _AROUND) : begin]),
        text=clean(document.text[begin:end]),
        after=clean(document.text[end : end + _AROUND]),
    )
