"""What a file is: by its first bytes, then by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from app.corpus.reading.lines import Encoding, decoded, encoding_of, lines, unpacked
from app.corpus.reading.rows import SourceError, reading

Format = Literal["text", "csv", "jsonl", "parquet"]

TITLES: dict[Format, str] = {
    "text": "plain text",
    "csv": "CSV",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
}
_SUFFIXES: dict[str, Format] = {
    ".txt": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
# What people take for a corpus.
_OTHERS = {
    _GZIP: "gzip in gzip",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF-": "a PDF document",
    b"BZh9": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}
_HEAD_BYTES = 64 * 1024
_CHECKED_LINES = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is.

    `encoding` is None for Parquet, `size` in bytes on disk, `head` its first 64 kB as text.
    """

    path: Path
    format: Format
    encoding: Encoding | None
    compressed: bool
    size: int
    head: str = field(repr=False, default="")


def look(path: Path, expected: str = "a corpus") -> Kind:
    """What the file is. Raises SourceError if it is neither text nor Parquet, or not what its
    name says; the message tells what was `expected` where the name does not."""
    with reading(path):
        size = path.stat().st_size
        if path.is_dir():
            raise SourceError(f"{path.name} is a folder, not a file")
        if not path.is_file():
            raise SourceError(f"{path.name} is not a regular file")
        head = _head(path, compressed=False)
        compressed = head.startswith(_GZIP)
        if compressed:
            head = _head(path, compressed=True)
    if not head:
        raise SourceError(f"{path.name} is empty")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    other = _other(head)
    named_gzip = suffixes[-1:] == [".gz"]
    if named_gzip and not compressed:
        what = "Parquet" if head.startswith(_PARQUET) else other or "text"
        raise SourceError(f"{path.name} is {what}, not gzip")
    inner = suffixes[:-1] if named_gzip else suffixes
    named = _SUFFIXES.get(inner[-1]) if inner else None
    if other:
        wanted = TITLES[named] if named else expected
        raise SourceError(f"{path.name} is {other}, not {wanted}")
    if head.startswith(_PARQUET):
        if named not in (None, "parquet"):
            raise SourceError(f"{path.name} is Parquet, not {TITLES[named]}")
        return Kind(path, "parquet", None, compressed, size)
    if named == "parquet":
        raise SourceError(f"{path.name} is text, not Parquet")
    encoding = encoding_of(head)
    _check_encoding(path, encoding, compressed)
    text = _text(head, encoding)
    if named == "jsonl" and text.lstrip().startswith("["):
        raise SourceError(f"{path.name} is a JSON array, not JSON Lines (an object a line)")
    unnamed: Format = "jsonl" if _looks_like_json(text) else "text"
    return Kind(path, named or unnamed, encoding, compressed, size, text)


def _head(path: Path, compressed: bool) -> bytes:
    with unpacked(path, compressed) as (stream, _):
        return stream.read(_HEAD_BYTES)


def _text(head: bytes, encoding: Encoding) -> str:
    return head[encoding.mark_bytes :].decode(encoding.codec, "replace")


def _other(head: bytes) -> str:
    """What it is if neither text nor Parquet, else ""."""
    if head.startswith(_PARQUET):
        return ""
    named = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), "")
    # UTF-16 is full of NUL bytes, but has no NUL characters.
    binary = "\0" in _text(head, encoding_of(head))
    return named or ("a binary file" if binary else "")


def _check_encoding(path: Path, encoding: Encoding, compressed: bool) -> None:
    """A few broken lines can be skipped, most of them cannot."""
    good = bad = 0
    for line in islice(lines(path, encoding, compressed), _CHECKED_LINES):
        text, reason = decoded(line, encoding)
        good += bool(text.strip())
        bad += reason == encoding.broken
    if bad > good:
        raise SourceError(f"{path.name} does not look like {encoding.name}")


def _looks_like_json(text: str) -> bool:
    """Whether the first line is an object."""
    first = text.lstrip().partition("\n")[0]
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False
