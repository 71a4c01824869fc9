"""All that is said of each expert of one layer, gathered for pages, files and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.corpus.atlas.experts import (
    Estimate,
    Neighbour,
    PositionProfile,
    drop_rate,
    favourites,
    load,
    mean_confidence,
    position_profile,
)
from app.corpus.atlas.speciality import speciality
from app.corpus.atlas.tables import layer_tables
from app.corpus.atlas.tokens import TopToken, top_tokens
from app.corpus.counting.batch import LayerShape
from app.corpus.counting.counts import Counts
from app.corpus.counting.examples import Example

# A token must have gone to an expert so often to be one of its top tokens.
LEAST_TOKEN_COUNT = 5


@dataclass(frozen=True)
class ExpertAtlas:
    """One expert in words and examples; `before` and `after` are its favourite neighbours."""

    expert: int
    speciality: str
    evidence: tuple[str, ...]
    tokens: tuple[TopToken, ...]
    before: tuple[Neighbour, ...]
    after: tuple[Neighbour, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class LayerAtlas:
    """A router layer, the values of its E experts, and each of them; `index` counts from 0."""

    index: int
    shape: LayerShape
    load: Estimate
    dropped: Estimate
    confidence: Estimate
    positions: PositionProfile
    experts: tuple[ExpertAtlas, ...]


def layer_atlas(
    counts: Counts, layer: int, columns: Sequence[str], pieces: Mapping[int, str]
) -> LayerAtlas:
    """One layer. `columns`: where a speciality is looked for, the first that has one counts.

    ValueError for a layer that is not there, KeyError for another column.
    """
    tables = layer_tables(counts, layer, columns)
    experts = []
    for expert in range(counts.shape[layer].num_experts):
        label, evidence = speciality(counts, layer, expert, columns, pieces, tables)
        before, after = favourites(counts, layer, expert)
        experts.append(
            ExpertAtlas(
                expert=expert,
                speciality=label,
                evidence=evidence,
                tokens=top_tokens(counts, layer, expert, LEAST_TOKEN_COUNT, table=tables.tokens),
                before=before,
                after=after,
                examples=counts.examples.of(counts.layout.slot(layer, expert)),
            )
        )
    return LayerAtlas(
        index=layer,
        shape=counts.shape[layer],
        load=load(counts, layer),
        dropped=drop_rate(counts, layer),
        confidence=mean_confidence(counts, layer),
        positions=position_profile(counts, layer),
        experts=tuple(experts),
    )
