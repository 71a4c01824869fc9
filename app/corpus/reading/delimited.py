"""CSV with a header; cells may be quoted, and quoted ones may have line ends."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice

from app.corpus.reading.kind import Kind
from app.corpus.reading.lines import Encoding, Line, lines
from app.corpus.reading.rows import (
    BLANK_LINE,
    FEWER_CELLS,
    MORE_CELLS,
    MOST_LINE_BYTES,
    NEVER_CLOSED,
    NOT_CSV,
    TOO_LONG,
    Broken,
    Mark,
    Row,
    SourceError,
    twice,
)

_DELIMITERS = ",;\t|"
_SNIFFED_RECORDS = 50
# Each line that is held takes some memory, even an empty one.
_MOST_RECORD_LINES = 100_000

# The csv module's own limit, which holds for the whole process, is 128 kB.
csv.field_size_limit(max(csv.field_size_limit(), MOST_LINE_BYTES))


class CsvReader:
    """The records of a CSV file, by a delimiter that is guessed. Blank column names become
    "column 1" and so on.

    Does not know other quotes than "" nor escapes with a backslash. Raises SourceError without
    a readable header, and for two columns of one name.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.delimiter = sniffed(kind.head)
        records = self._records(Mark())
        header = next((its for its in records if not _is(its, BLANK_LINE)), None)
        if header is None:
            raise SourceError(f"{kind.path.name} has no rows")
        if isinstance(header, Broken):
            raise SourceError(f"{kind.path.name} has no readable header: {header.reason}")
        cells, _, self._body = header
        self.columns = tuple(cell.strip() or f"column {i}" for i, cell in enumerate(cells, 1))
        again = twice(self.columns)
        if again is not None:
            raise SourceError(f"{kind.path.name} has two columns «{again}»")

    def rows(self, start: Mark, _columns: Collection[str], /) -> Iterator[Row | Broken]:
        """The records after `start`, which have as many cells as the header."""
        for record in self._records(max(start, self._body)):
            if isinstance(record, Broken):
                yield record
                continue
            cells, line, end = record
            if len(cells) == len(self.columns):
                yield Row(line, dict(zip(self.columns, cells, strict=True)), end)
            else:
                many = len(cells) > len(self.columns)
                yield Broken(line, MORE_CELLS if many else FEWER_CELLS)

    def _records(self, start: Mark) -> Iterator[tuple[list[str], int, Mark] | Broken]:
        """Cells, the line where they begin, and the end of each record."""
        assert self._kind.encoding is not None
        feed = _Feed(
            lines(self._kind.path, self._kind.encoding, self._kind.compressed, start),
            self._kind.encoding,
            start.alone,
        )
        records = csv.reader(feed, delimiter=self.delimiter)
        while True:
            feed.begin()
            cells, reason = list[str](), ""
            try:
                cells = next(records)
            except StopIteration:
                return
            except _OpenError as error:
                reason = str(error)
                feed.give_back()
            except csv.Error:
                reason = NOT_CSV
            first, last = feed.taken[0], feed.taken[-1]
            reason = reason or feed.broken or ("" if cells else BLANK_LINE)
            if reason:
                yield Broken(first.number, reason)
            else:
                yield cells, first.number, Mark(last.end, last.number, last.read, feed.alone)


class _OpenError(Exception):
    """A record whose end is not found; the message is the reason to skip it."""


class _Feed:
    """The lines for csv.reader, and which of them the record under way has taken.

    Of a record whose end is not found the first line is skipped. The others are given back, and
    then each is a record by itself (up to the byte `alone`): so every line is read twice at most.
    """

    def __init__(self, source: Iterator[Line], encoding: Encoding, alone: int) -> None:
        self._source = source
        self._again: deque[Line] = deque()
        self._encoding = encoding
        self.alone = alone
        self.begin()

    def begin(self) -> None:
        """A new record begins."""
        self.taken: list[Line] = []
        self.broken = ""
        self._bytes = 0

    def give_back(self) -> None:
        """The record under way is only its first line."""
        self.alone = max(self.alone, self.taken[-1].end)
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self.taken and self.taken[0].end <= self.alone:
            raise _OpenError(NEVER_CLOSED)
        line = self._again.popleft() if self._again else next(self._source, None)
        if line is None:
            if self.taken:
                raise _OpenError(NEVER_CLOSED)
            raise StopIteration
        self.taken.append(line)
        self._bytes += len(line.data or b"")
        over = self._bytes > MOST_LINE_BYTES or len(self.taken) > _MOST_RECORD_LINES
        if line.data is None or over:
            raise _OpenError(TOO_LONG)
        try:
            return line.data.decode(self._encoding.codec) + "\n"
        except UnicodeDecodeError:
            # Its quotes still count, or the record would end too early.
            self.broken = self._encoding.broken
            return line.data.decode(self._encoding.codec, "replace") + "\n"


def _is(record: object, reason: str) -> bool:
    return isinstance(record, Broken) and record.reason == reason


def sniffed(head: str) -> str:
    """The delimiter of these first lines: most records agree with the header, in most cells."""

    def fit(delimiter: str) -> tuple[float, int]:
        records = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
        try:
            sizes = [len(cells) for cells in islice(records, _SNIFFED_RECORDS) if cells]
        except csv.Error:
            return 0.0, 0
        if not sizes or sizes[0] < 2:
            return 0.0, 0
        # The head may end within its last record.
        complete = sizes[:-1] if len(sizes) > 2 else sizes
        return sum(size == sizes[0] for size in complete) / len(complete), sizes[0]

    return max(_DELIMITERS, key=fit)
