"""The counts of a pass under way, kept on the disk now and then."""

from __future__ import annotations

import time

from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.counts import Counts
from app.corpus.order import Progress
from app.corpus.parts import TokenWriter
from app.corpus.state import Kept

# The state is kept again once the work since took so many times as long as keeping it does.
_REST = 20
_LEAST_SECONDS = 2.0
# Every time makes a file of its own of the tokens' routing.
_LEAST_SECONDS_WITH_TOKENS = 30.0


class Tally:
    """Where a pass stands and what it has counted, to be moved on by whoever runs it.

    Begins with what is kept, else with `empty`. `tokens`: every token's routing is written too.
    Raises OSError.
    """

    def __init__(self, kept: Kept, empty: Counts, tokens: bool) -> None:
        self.state, self.counts = kept.load(empty)
        self._kept = kept
        self._writer = TokenWriter(kept.folder, empty.shape, self.state.parts) if tokens else None
        self._before = self.state.seconds
        self._begun = self._saved = time.monotonic()
        self._least = _LEAST_SECONDS_WITH_TOKENS if tokens else _LEAST_SECONDS
        self._cost = 0.0

    def add(self, batch: RoutedBatch) -> None:
        """Counts a batch."""
        self.counts.add(batch)
        self.write(batch)

    def write(self, batch: RoutedBatch) -> None:
        """Writes each token of a batch, where that is asked for."""
        if self._writer:
            self._writer.add(batch)

    def progress(self, done: int, size: int) -> Progress:
        """How far it is, with `done` of `size` bytes read."""
        return Progress(
            documents=self.counts.documents,
            tokens=self.counts.tokens,
            cut=self.counts.truncated,
            skipped=self.state.skips.total,
            done=done,
            size=size,
            seconds=self._seconds,
        )

    def keep(self) -> None:
        """Keeps all on the disk. Raises OSError."""
        if self._writer:
            self.state.parts = self._writer.flush()
        self.state.seconds = self._seconds
        start = time.monotonic()
        self._kept.save(self.state, self.counts)
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def keep_if_due(self) -> None:
        """Keeps all if enough work was done since the last time."""
        if time.monotonic() - self._saved > max(self._least, _REST * self._cost):
            self.keep()

    @property
    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._begun
