"""The atlas of a pass: what its counts say, worked out once and remembered with the counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

from app.corpus.atlas.labels import (
    LabelInformation,
    LabelProfile,
    label_information,
    label_profile,
)
from app.corpus.atlas.layer import LayerAtlas, layer_atlas
from app.corpus.atlas.tokens import expert_similarity
from app.corpus.counting.counts import Counts
from app.corpus.counting.layout import Floats
from app.corpus.library import Library, Pass
from app.routing.metrics import mutual_information
from app.routing.spelling import reading

_REMEMBERED = 4
T = TypeVar("T")


class Atlas:
    """What one pass' counts say. `pieces`: the tokenizer's piece of each token id.

    Safe to use from any thread; everybody waits for what is being worked out.
    """

    def __init__(self, counts: Counts, pieces: Mapping[int, str]) -> None:
        self.counts = counts
        self.pieces = pieces
        self._known: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def readings(self) -> Mapping[int, str]:
        """The text that each piece stands for (`reading`)."""
        return self._once(
            "readings", lambda: {id_: reading(piece) for id_, piece in self.pieces.items()}
        )

    def layer(self, index: int, column: str = "") -> LayerAtlas:
        """One layer; specialities are looked for in this label column before the others."""
        columns = self.counts.label_columns
        ordered = tuple(sorted(columns, key=lambda each: each != column))
        return self._once(
            ("layer", index, ordered),
            lambda: layer_atlas(self.counts, index, ordered, self.pieces),
        )

    def profile(self, index: int, column: str) -> LabelProfile:
        """`label_profile` of one layer."""
        return self._once(
            ("profile", index, column), lambda: label_profile(self.counts, index, column)
        )

    def information(self, column: str) -> tuple[LabelInformation, ...]:
        """`label_information` of every layer."""
        layers = range(len(self.counts.shape))
        return self._once(
            ("information", column),
            lambda: tuple(label_information(self.counts, layer, column) for layer in layers),
        )

    def similarity(self, index: int) -> Floats:
        """`expert_similarity` of one layer."""
        return self._once(("similarity", index), lambda: expert_similarity(self.counts, index))

    def telling_layer(self, column: str) -> int:
        """The layer whose choices say most about the label; the last without a label."""
        if column not in self.counts.labels:
            return len(self.counts.shape) - 1
        found = self.counts.labels[column].assignments
        parts = map(self.counts.layout.part, range(len(self.counts.shape)))
        return int(np.argmax(np.nan_to_num([mutual_information(found[:, p]) for p in parts])))

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._known:
                self._known[key] = make()
            return cast(T, self._known[key])


def atlas_of(library: Library, found: Pass) -> Atlas:
    """The atlas of what a pass has counted so far. FileNotFoundError before the first count."""
    # Another revision of the model begins to number anew.
    revision = str(found.about.model.get("revision", ""))
    return _atlas(library, found.about.id, revision, found.state.number)


@lru_cache(_REMEMBERED)
def _atlas(library: Library, id_: str, _revision: str, _number: int) -> Atlas:
    return Atlas(library.counts(id_), library.pieces(id_))
