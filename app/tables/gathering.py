"""Rows that come one after the other, kept as columns: Python's objects would take far more."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

# A gzipped file of 1 MB can hold 1 GB.
MOST_BYTES = 1024**3
_WAITING_CELLS = 200_000
_WAITING_CHARACTERS = 16_000_000


class TooManyBytesError(Exception):
    """More than may be held; the message goes on after the file's name."""

    def __init__(self) -> None:
        super().__init__(f"holds more than {MOST_BYTES // 1024**3} GB unpacked; hand in a part")


class Gathered:
    """Rows of text (`add`), or batches of typed ones (`add_batch`). Raises TooManyBytesError."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._chunks: list[list[pa.Array]] = [[] for _ in range(columns)]
        self._waiting: list[tuple[str, ...]] = []
        self._characters = 0
        self._bytes = 0

    def add(self, cells: tuple[str, ...]) -> None:
        """One row of as many cells as there are columns."""
        self._waiting.append(cells)
        self.rows += 1
        self._characters += sum(map(len, cells))
        many = len(self._waiting) * len(cells) >= _WAITING_CELLS
        if many or self._characters >= _WAITING_CHARACTERS:
            self._keep()

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Some rows at a time."""
        self.rows += len(batch)
        self._hold(batch.columns)

    def columns(self) -> Iterator[pa.ChunkedArray]:
        """Each column once; what was gathered goes with it. At least one row must be there."""
        self._keep()
        for chunks in self._chunks:
            column = pa.chunked_array(chunks)
            chunks.clear()
            yield column

    def _keep(self) -> None:
        if self._waiting:
            self._hold(
                [pa.array(each, pa.large_string()) for each in zip(*self._waiting, strict=True)]
            )
            self._waiting, self._characters = [], 0

    def _hold(self, arrays: list[pa.Array]) -> None:
        self._bytes += sum(array.nbytes for array in arrays)
        if self._bytes > MOST_BYTES:
            raise TooManyBytesError
        for chunks, array in zip(self._chunks, arrays, strict=True):
            chunks.append(array)
