"""What every reader of a file gives: rows, broken rows with their reason, and where it is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MOST_LINE_BYTES = 4 * 1024 * 1024
EXAMPLES = 20
MOST_LABEL_CHARACTERS = 100

BLANK_LINE = "blank line"
TOO_LONG = "longer than 4 MB"
NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not a JSON object"
NOT_CSV = "not valid CSV"
NEVER_CLOSED = "quote is never closed"
MORE_CELLS = "more cells than the header"
FEWER_CELLS = "fewer cells than the header"
TEXT_MISSING = "text is missing"
TEXT_NULL = "text is null"
TEXT_NOT_STRING = "text is not a string"
TEXT_BLANK = "text is blank"
LONE_SURROGATE = "lone surrogate"


class SourceError(Exception):
    """A file that cannot be read as a corpus. The message is one line that users may see."""


class Mark(NamedTuple):
    """How far a file is read; reading goes on exactly there.

    `offset` is the next byte of the unpacked text, or the next row of Parquet (from 0); `line`
    how many lines or rows are read; `read` how many bytes of the file on disk. Up to the byte
    `alone` of a CSV file each line is a record by itself: before it a quote is never closed.
    """

    offset: int = 0
    line: int = 0
    read: int = 0
    alone: int = 0


class Row(NamedTuple):
    """A row that can be read. `line` is where it begins, from 1; for Parquet the row, from 1."""

    line: int
    values: Mapping[str, Any]
    end: Mark


class Broken(NamedTuple):
    """A row that cannot be read, and why."""

    line: int
    reason: str


class Reader(Protocol):
    """Reads the rows of one file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in the order of the file."""

    def rows(self, start: Mark, columns: Collection[str], /) -> Iterator[Row | Broken]:
        """The rows after `start` with at least these columns. Raises SourceError."""


class Example(NamedTuple):
    """Where a skipped row is: the file's name, and the line or row, from 1."""

    file: str
    line: int


@dataclass
class Skips:
    """How many rows were skipped, by reason, and the first of each as examples.

    `last` is the file's index and the line of the last one counted. A row up to there is not
    counted again, so that going on at an earlier place counts nothing twice.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    last: tuple[int, int] = (0, 0)

    @property
    def total(self) -> int:
        """How many rows were skipped."""
        return sum(self.counts.values())

    def add(self, index: int, name: str, line: int, reason: str) -> None:
        """Counts a row of the file `name`, the `index`-th; rows come in the order of reading."""
        if (index, line) <= self.last:
            return
        self.last = (index, line)
        self.counts[reason] = self.counts.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(Example(name, line))

    def copy(self) -> Skips:
        """One that counts on by itself."""
        return Skips.of(self.plain())

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        examples = {reason: [list(each) for each in some] for reason, some in self.examples.items()}
        return {"counts": dict(self.counts), "examples": examples, "last": list(self.last)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Skips:
        """The inverse of `plain`."""
        examples = {
            reason: [Example(file, line) for file, line in some]
            for reason, some in values["examples"].items()
        }
        index, line = values["last"]
        return cls(dict(values["counts"]), examples, (index, line))


def twice(names: Sequence[str]) -> str | None:
    """The first name that comes a second time, None if each comes once."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def fault(value: Any) -> str:
    """Why this value of the text column is no document; "" if it is one.

    Bytes are what a reader could not decode.
    """
    if value is None:
        return TEXT_NULL
    if isinstance(value, bytes):
        return "not UTF-8"
    if not isinstance(value, str):
        return TEXT_NOT_STRING
    if not value.strip():
        return TEXT_BLANK
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return LONE_SURROGATE
    return TOO_LONG if size > MOST_LINE_BYTES else ""


def label(value: Any) -> str:
    """The value of a label column as text, stripped, of at most 100 characters.

    "" for null, not-a-number, lists and objects. What UTF-8 cannot hold becomes "?".
    """
    if value is None or isinstance(value, (bytes, list, dict)) or value != value:
        return ""
    text = str(value).strip()[:MOST_LABEL_CHARACTERS].rstrip()
    return text.encode("utf-8", "replace").decode()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what can go wrong while a file is read into a SourceError."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"{path.name} does not exist") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path.name} is damaged: its gzip data cannot be unpacked") from error
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror or error}") from error
