"""Plain text, a document a line, and JSON Lines, an object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from app.corpus.reading.kind import Kind
from app.corpus.reading.lines import Line, decoded, lines
from app.corpus.reading.rows import BLANK_LINE, NOT_AN_OBJECT, NOT_JSON, Broken, Mark, Row

# Objects that are looked at for columns.
_LOOKED_AT = 200


class TextReader:
    """The lines of plain text, in the one column "text"."""

    columns = ("text",)

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def rows(self, start: Mark, _columns: Collection[str], /) -> Iterator[Row | Broken]:
        """The lines after `start`."""
        for line, text in _texts(self._kind, start):
            if isinstance(text, Broken):
                yield text
            else:
                yield Row(line.number, {"text": text}, _after(line))


class JsonReader:
    """The objects of JSON Lines. Its columns are the keys of the first 200 rows."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        keys: dict[str, None] = {}
        for row in islice(self.rows(Mark(), ()), _LOOKED_AT):
            if isinstance(row, Row):
                keys.update(dict.fromkeys(row.values))
        self.columns = tuple(key for key in keys if _encodable(key))

    def rows(self, start: Mark, _columns: Collection[str], /) -> Iterator[Row | Broken]:
        """The objects after `start`, with all that they have."""
        for line, text in _texts(self._kind, start):
            if isinstance(text, Broken):
                yield text
                continue
            try:
                value: Any = json.loads(text)
            # Too deep, or a number of too many digits, is as unreadable as no JSON.
            except (ValueError, RecursionError):
                yield Broken(line.number, NOT_JSON)
                continue
            if isinstance(value, dict):
                yield Row(line.number, value, _after(line))
            else:
                yield Broken(line.number, NOT_AN_OBJECT)


def _texts(kind: Kind, start: Mark) -> Iterator[tuple[Line, str | Broken]]:
    assert kind.encoding is not None
    for line in lines(kind.path, kind.encoding, kind.compressed, start):
        text, reason = decoded(line, kind.encoding)
        if not reason and not text.strip():
            reason = BLANK_LINE
        yield line, Broken(line.number, reason) if reason else text


def _after(line: Line) -> Mark:
    return Mark(line.end, line.number, line.read)


def _encodable(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
