"""What the experts of a layer share, worked out once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.corpus.atlas.labels import LabelProfile, label_profile
from app.corpus.atlas.tokens import TokenShares, tokens_of_layer
from app.corpus.counting.counts import Counts


@dataclass(frozen=True)
class LayerTables:
    """A layer's tokens without specials, and its label profile for each column."""

    tokens: TokenShares
    profiles: Mapping[str, LabelProfile]


def layer_tables(counts: Counts, layer: int, columns: Sequence[str]) -> LayerTables:
    """ValueError for a layer that is not there, KeyError for another column."""
    return LayerTables(
        tokens_of_layer(counts, layer),
        {column: label_profile(counts, layer, column) for column in columns},
    )
