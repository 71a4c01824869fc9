"""A corpus of files: what they hold, and their documents one after the other.

Memory does not grow with the files (values of Parquet are held whole), and reading can go on
after any document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from app.corpus.documents import Document
from app.corpus.reading.delimited import CsvReader
from app.corpus.reading.guess import ColumnSample, label_columns, text_column
from app.corpus.reading.kind import Format, Kind, look
from app.corpus.reading.parquet import ParquetReader
from app.corpus.reading.rows import (
    TEXT_MISSING,
    Broken,
    Mark,
    Reader,
    Row,
    Skips,
    SourceError,
    fault,
    label,
    reading,
)
from app.corpus.reading.text import JsonReader, TextReader

__all__ = ["Corpus", "Description", "Place", "Selection", "Skips", "SourceError"]

_SAMPLED_ROWS = 200
_PREVIEW_ROWS = 10
_PREVIEW_CHARACTERS = 200
_DIGEST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Description:
    """What a file holds, by its first 200 rows.

    `encoding` is "" for Parquet, `size` in bytes on disk. `text` and `labels` are guesses among
    `columns`. `preview` has the first 10 rows, values cut to 200 characters.
    """

    name: str
    format: Format
    encoding: str
    compressed: bool
    size: int
    columns: tuple[str, ...]
    text: str
    labels: tuple[str, ...]
    preview: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The column with the text, and those with the labels."""

    text: str
    labels: tuple[str, ...] = ()

    @classmethod
    def guess(cls, description: Description) -> Selection:
        """What the description guesses."""
        return cls(description.text, description.labels)


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading goes on after a document.

    `file` is the file's index, `number` the next document's, `begin` the line where the document
    before it begins, from 1. The others are a `Mark`'s.
    """

    file: int = 0
    number: int = 0
    begin: int = 0
    offset: int = 0
    line: int = 0
    read: int = 0
    alone: int = 0

    @property
    def mark(self) -> Mark:
        """The place within its file."""
        return Mark(self.offset, self.line, self.read, self.alone)

    def plain(self) -> dict[str, int]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, int]) -> Place:
        """The inverse of `plain`. Raises TypeError for other values."""
        return cls(**values)


def _reader(kind: Kind) -> Reader:
    match kind.format:
        case "text":
            return TextReader(kind)
        case "jsonl":
            return JsonReader(kind)
        case "csv":
            return CsvReader(kind)
        case "parquet":
            return ParquetReader(kind)


def describe(path: Path) -> Description:
    """What the file is, its columns, guesses and first rows. Raises SourceError."""
    kind = look(path)
    reader = _reader(kind)
    samples = {name: ColumnSample() for name in reader.columns}
    preview: list[Mapping[str, str]] = []
    rows, first = 0, None
    for row in islice(reader.rows(Mark(), reader.columns), _SAMPLED_ROWS):
        if isinstance(row, Broken):
            first = first or row
            continue
        rows += 1
        for name, sample in samples.items():
            sample.add(row.values.get(name))
        if len(preview) < _PREVIEW_ROWS:
            preview.append({name: _shown(row.values.get(name)) for name in samples})
    if not rows:
        why = f"; line {first.line} is skipped ({first.reason})" if first else ""
        raise SourceError(f"{path.name} has no rows{why}")
    text = text_column(samples)
    if text is None:
        raise SourceError(f"{path.name} has no column with text")
    return Description(
        name=path.name,
        format=kind.format,
        encoding=kind.encoding.title if kind.encoding else "",
        compressed=kind.compressed,
        size=kind.size,
        columns=reader.columns,
        text=text,
        labels=tuple(label_columns(samples, text, rows)),
        preview=tuple(preview),
    )


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case list():
            return "[…]"
        case dict():
            return "{…}"
        case bytes():
            return "(bytes)"
    return str(value)[:_PREVIEW_CHARACTERS].encode("utf-8", "replace").decode()


class Corpus:
    """The documents of files, in the order of `paths`, by the columns of one selection.

    `skipped` tells what was left out; given again after a restart it goes on counting.
    Raises SourceError if a file cannot be read or lacks a column; a key that JSON Lines has
    only after the first 200 rows counts as lacking.
    """

    def __init__(
        self, paths: Sequence[Path], selection: Selection, skipped: Skips | None = None
    ) -> None:
        self.selection = selection
        self.skipped = Skips() if skipped is None else skipped
        kinds = [look(path) for path in paths]
        self._paths = list(paths)
        self._sizes = [kind.size for kind in kinds]
        self._readers = [_reader(kind) for kind in kinds]
        self._columns = tuple(dict.fromkeys((selection.text, *selection.labels)))
        for path, reader in zip(paths, self._readers, strict=True):
            for column in self._columns:
                if column not in reader.columns:
                    raise SourceError(f"{path.name} has no column «{column}»")

    @property
    def size(self) -> int:
        """Bytes of all files on disk."""
        return sum(self._sizes)

    def done(self, place: Place) -> int:
        """How many of these bytes are read at a place."""
        return sum(self._sizes[: place.file]) + place.read

    def documents(self, start: Place | None = None) -> Iterator[tuple[Document, Place]]:
        """Each document after `start`, with the place after it. Raises SourceError."""
        start = Place() if start is None else start
        number = start.number
        for index in range(start.file, len(self._readers)):
            mark = start.mark if index == start.file else Mark()
            for row in self._readers[index].rows(mark, self._columns):
                reason = row.reason if isinstance(row, Broken) else self._fault(row)
                if isinstance(row, Broken) or reason:
                    self.skipped.add(index, self._paths[index].name, row.line, reason)
                    continue
                labels = {name: label(row.values.get(name)) for name in self.selection.labels}
                document = Document(number, row.values[self.selection.text], labels)
                number += 1
                yield document, Place(index, number, row.line, *row.end)

    def skip(self, reason: str, place: Place) -> None:
        """Counts a document as skipped; to be called before the next one is taken."""
        self.skipped.add(place.file, self._paths[place.file].name, place.begin, reason)

    def _fault(self, row: Row) -> str:
        if self.selection.text not in row.values:
            return TEXT_MISSING
        return fault(row.values[self.selection.text])


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of the bytes of all files, one after the other, as hexadecimal digits.

    Raises SourceError.
    """
    total = hashlib.sha256()
    for path in paths:
        with reading(path), path.open("rb") as stream:
            while chunk := stream.read(_DIGEST_BYTES):
                total.update(chunk)
    return total.hexdigest()
