"""Two passes over corpora, and in words what of them can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.corpus.atlas.pairs import same_experts
from app.corpus.atlases import Atlas, atlas_of
from app.corpus.library import Library, Pass
from app.figures.labels import count_of, span
from app.pages.experts.beside import expert_numbers


class Side(NamedTuple):
    """One of the two: the pass, and what its counts say."""

    found: Pass
    atlas: Atlas


@dataclass(frozen=True)
class Pair:
    """Both passes, and the label column that is looked at, "" where they have none in common."""

    a: Side
    b: Side
    label: str

    @property
    def columns(self) -> list[str]:
        """The label columns that both have."""
        return common(self.a, self.b)

    @property
    def alike(self) -> bool:
        """Whether both have as many layers with as many experts each."""
        return same_experts(self.a.atlas.counts, self.b.atlas.counts)

    @property
    def paired(self) -> bool:
        """Whether both counted the same documents, under the same numbers."""
        a, b = (
            (side.found.digest, side.found.about.order.text, side.atlas.counts.documents)
            for side in (self.a, self.b)
        )
        return bool(a[0]) and a == b


def pair_of(library: Library, a: str, b: str, label: str) -> Pair:
    """The passes of two ids; a `label` that both lack is passed over.

    Raises PassNotFoundError, or FileNotFoundError for one that has counted nothing yet.
    """
    one, other = (
        Side(found, atlas_of(library, found)) for found in (library.find(a), library.find(b))
    )
    columns = common(one, other)
    return Pair(one, other, label if label in columns else next(iter(columns), ""))


def common(a: Side, b: Side) -> list[str]:
    """The label columns of a that b has too."""
    there = b.atlas.counts.label_columns
    return [column for column in a.atlas.counts.label_columns if column in there]


def said(pair: Pair) -> Iterator[str]:
    """What the two share, and what keeps their numbers from meaning the same."""
    a, b = pair.a, pair.b
    for letter, side in (("a", a), ("b", b)):
        if not side.found.state.finished:
            yield f"{letter} is not finished: this is what it has counted so far."
        if not side.atlas.counts.tokens:
            yield f"{letter} has no token: there is nothing of it to put beside the other."
    yield expert_numbers(a.found, b.found, a.atlas, b.atlas)
    if not pair.alike:
        yield (
            f"a has {_layers(a)}, b {_layers(b)}. Loads of single experts can’t be compared. How "
            "evenly each layer spreads its tokens can be, and what its choices say of a label."
        )
    yield from _corpora(pair)
    yield from _labels(pair)


def _layers(side: Side) -> str:
    shape = side.atlas.counts.shape
    experts = [str(each) for each in sorted({layer.num_experts for layer in shape})]
    return f"{count_of(len(shape), 'router layer')} of {span(experts)} experts"


def _corpora(pair: Pair) -> Iterator[str]:
    a, b = pair.a.found, pair.b.found
    if a.digest and a.digest == b.digest:
        yield "Both passes read the same files, byte for byte."
    elif a.digest and b.digest:
        yield "They read different files: what differs may be the texts’ doing, not the model’s."
    else:
        yield "It is not known whether they read the same files: one has no digest yet."
    lengths = [each.about.order.max_tokens for each in (a, b)]
    if lengths[0] != lengths[1]:
        yield (
            f"a reads up to {count_of(lengths[0], 'token')} of a document, b up to {lengths[1]:,}."
        )


def _labels(pair: Pair) -> Iterator[str]:
    for letter, one, other in (("a", pair.a, pair.b), ("b", pair.b, pair.a)):
        there = other.atlas.counts.label_columns
        only = [column for column in one.atlas.counts.label_columns if column not in there]
        if only:
            yield f"Only {letter} has the label {', '.join(only)}."
    if not pair.label:
        yield "They have no label in common, so that there is nothing to say of one."
        return
    a, b = (set(side.atlas.profile(0, pair.label).values) for side in (pair.a, pair.b))
    if a != b:
        yield (
            f"{pair.label} has {count_of(len(a), 'value')} in a and {len(b):,} in b, "
            f"{len(a & b):,} of them in both: bits of different labels mean different things."
        )
