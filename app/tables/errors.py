"""Errors of this room. Each message is one short line that may be shown to a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class TableError(ValueError):
    """A table that cannot be read or learnt from, or a preparation that does not go with it."""


class Offence(NamedTuple):
    """A cell that is not as promised. `row` counts from 1; `column` is "" for a whole row."""

    row: int
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"row {self.row:,}, «{self.column}»" if self.column else f"row {self.row:,}"
        return f"{where}: expected {self.expected}, found {self.found}"


class SchemaError(ValueError):
    """Rows that a model does not take: the first `offences`, and how many there are in all.

    The message is one line with the first of them.
    """

    def __init__(self, offences: Sequence[Offence], total: int) -> None:
        more = f", and {total - 1:,} more" if total > 1 else ""
        super().__init__(f"{offences[0]}{more}")
        self.offences = tuple(offences)
        self.total = total
