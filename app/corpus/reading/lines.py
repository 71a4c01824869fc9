"""Physical lines of a text file, plain or gzipped, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from app.corpus.reading.rows import MOST_LINE_BYTES, TOO_LONG, Mark, reading

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Encoding:
    """How text is written: the codec, and how many bytes the byte order mark takes."""

    name: str
    codec: str
    mark_bytes: int

    @property
    def broken(self) -> str:
        """The reason to skip a line that does not decode."""
        return f"not {self.name}"

    @property
    def title(self) -> str:
        """For people: "UTF-8 with BOM"."""
        return f"{self.name} with BOM" if self.mark_bytes else self.name


UTF_8 = Encoding("UTF-8", "utf-8", 0)
_MARKED = {
    codecs.BOM_UTF8: Encoding("UTF-8", "utf-8", 3),
    codecs.BOM_UTF16_LE: Encoding("UTF-16", "utf-16-le", 2),
    codecs.BOM_UTF16_BE: Encoding("UTF-16", "utf-16-be", 2),
}


def encoding_of(head: bytes) -> Encoding:
    """By the byte order mark; UTF-8 without one."""
    return next((its for mark, its in _MARKED.items() if head.startswith(mark)), UTF_8)


class Line(NamedTuple):
    """A line without its end; `data` is None if it is longer than MOST_LINE_BYTES.

    `number` counts from 1, `end` is the byte of the unpacked text after it, `read` how many bytes
    of the file on disk are read.
    """

    number: int
    data: bytes | None
    end: int
    read: int


@contextmanager
def unpacked(path: Path, compressed: bool) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The stream of the file's content, and that of the bytes on disk."""
    with path.open("rb") as raw:
        if compressed:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield cast(BinaryIO, stream), raw
        else:
            yield raw, raw


def lines(
    path: Path, encoding: Encoding, compressed: bool, start: Mark | None = None
) -> Iterator[Line]:
    """The lines after `start`. They end with "\\n"; a "\\r" before it is left on.

    Seeks in a plain file; a gzipped one is unpacked up to there. Raises SourceError.
    """
    newline = "\n".encode(encoding.codec)
    width = len(newline)
    offset = max(start.offset if start else 0, encoding.mark_bytes)
    number = start.line if start else 0
    held, long = b"", False
    with reading(path), unpacked(path, compressed) as (stream, raw):
        stream.seek(offset)
        while chunk := stream.read(_CHUNK_BYTES):
            on_disk = raw.tell() if compressed else 0
            held += chunk
            begin = 0
            while (end := _find(held, newline, begin)) >= 0:
                number += 1
                data = None if long or end - begin > MOST_LINE_BYTES else held[begin:end]
                begin, long = end + width, False
                after = offset + begin
                yield Line(number, data, after, on_disk or after)
            # Of a line that is too long only an incomplete character is held.
            if long or len(held) - begin > MOST_LINE_BYTES:
                begin, long = len(held) - len(held) % width, True
            held = held[begin:]
            offset += begin
        if held or long:
            after = offset + len(held)
            yield Line(number + 1, None if long else held, after, raw.tell())


def _find(held: bytes, newline: bytes, begin: int) -> int:
    """Where the line that begins here ends, −1 if not yet.

    In UTF-16 the same two bytes may also straddle two characters.
    """
    found = held.find(newline, begin)
    while found > 0 and (found - begin) % len(newline):
        found = held.find(newline, found + 1)
    return found


def decoded(line: Line, encoding: Encoding) -> tuple[str, str]:
    """The line as text, and why it must be skipped, "" if it need not."""
    if line.data is None:
        return "", TOO_LONG
    try:
        return line.data.decode(encoding.codec).removesuffix("\r"), ""
    except UnicodeDecodeError:
        return "", encoding.broken
