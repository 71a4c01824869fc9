"""Gathers what is wrong with rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.tables.errors import Offence, SchemaError

MOST_OFFENCES = 20
_MOST_CHARACTERS = 60


class Offences:
    """Notes what is wrong, column after column; keeps the first of all by their rows."""

    def __init__(self) -> None:
        self._first: list[Offence] = []
        self._total = 0

    def add(self, row: int, column: str, expected: str, found: str) -> None:
        """One more; `row` from 1."""
        self._total += 1
        self._first.append(Offence(row, column, expected, found))
        if len(self._first) > 50 * MOST_OFFENCES:
            self._cut()

    def end(self) -> None:
        """Raises SchemaError if there was any."""
        if self._total:
            self._cut()
            raise SchemaError(self._first, self._total)

    def _cut(self) -> None:
        # Stable: in a row, by the order of the columns.
        self._first = sorted(self._first, key=lambda each: each.row)[:MOST_OFFENCES]


def shown(value: Any) -> str:
    """A JSON value as a message names it, in one line: «text», null, a list. "nothing" for none."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = " ".join(value[:_MOST_CHARACTERS].split()).encode("utf-8", "replace").decode()
            return f"«{text}{'…' if len(value) > _MOST_CHARACTERS else ''}»"
        case int() | float():
            return str(value)[:_MOST_CHARACTERS]
        case list():
            return "a list"
        case Mapping():
            return "an object"
    return "nothing"
