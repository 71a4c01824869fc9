"""A pass cut into pieces that any process can count, and put together again in their order.

A piece is a window, so its batches, and with them all choices, are those of a pass in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.corpus.batching import batches
from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.counts import Counts
from app.corpus.order import Order
from app.corpus.reading.source import Corpus, Place, Selection, Skips
from app.corpus.running import empty_counts, routed, window_tokens
from app.corpus.state import State
from app.corpus.tally import Tally
from app.corpus.windows import Window, windows
from app.routing.encoding import Tokenizing
from app.routing.loaded import LoadedModel


@dataclass(frozen=True)
class Piece:
    """A window. Its first `groups` batches are counted already; `skips` are those at its end."""

    window: Window
    groups: int
    skips: Skips


@dataclass(frozen=True)
class Part:
    """What was counted of a piece, with its `batches` where each token is asked for.

    `after` and `skips`: where the corpus goes on, and what was skipped until there.
    """

    counts: Counts
    batches: tuple[RoutedBatch, ...]
    after: Place | None
    skips: Skips


def pieces(reader: Tokenizing, order: Order, state: State) -> Iterator[Piece]:
    """The pieces that follow a state. Raises SourceError."""
    paths = [Path(name) for name in order.files]
    corpus = Corpus(paths, Selection(order.text, order.labels), state.skips.copy())
    groups = state.groups
    size = window_tokens(order.batch_tokens)
    for window in windows(reader, corpus, state.place, size, order.max_tokens):
        yield Piece(window, groups, corpus.skipped.copy())
        groups = 0


def counted(loaded: LoadedModel, order: Order, piece: Piece) -> Part:
    """Runs the model over a piece. Raises TraceError."""
    window, counts = piece.window, empty_counts(loaded, order)
    groups = batches([len(one.ids) for one in window.encoded], order.batch_tokens)
    kept = []
    for group in groups[piece.groups :]:
        batch = routed(loaded, window, group)
        counts.add(batch)
        if order.tokens:
            kept.append(batch)
    return Part(counts, tuple(kept), window.after, piece.skips)


def take(tally: Tally, part: Part) -> None:
    """Adds the part that follows what the tally has."""
    tally.counts.merge(part.counts)
    for batch in part.batches:
        tally.write(batch)
    tally.state.place, tally.state.groups, tally.state.skips = part.after, 0, part.skips
