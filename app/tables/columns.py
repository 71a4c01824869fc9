"""What the columns of a table hold, as far as that can be told from their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from app.tables.cells import level
from app.tables.personal import Personal, personal

Kind = Literal["number", "category", "text", "identifier", "constant"]

_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 100
_LOOKED_AT = 500
# Fewer rows can all differ by chance.
_LEAST_ROWS = 20
_DISTINCT_SHARE = 0.9
# Of a column with more different values than this, those of several words are texts.
_MOST_PHRASES = 50
_TEXT_WORDS = 3
_IDENTIFIER = re.compile(r"(?:^|[\W_])(?:id|uuid|guid|key|index|idx|nr|no|row)$", re.IGNORECASE)
_CAMEL_IDENTIFIER = re.compile(r"[a-z](?:Id|ID|Key|Index|Nr|No)$")


@dataclass(frozen=True)
class Column:
    """A column as it was found.

    `kind` is a guess: numbers; categories, which repeat; texts of several words and identifiers,
    which hardly do; and constants, one value in every row or none at all. `distinct` counts the
    values without the missing ones. `low` and `high` are the ends of numbers, None for others.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int
    examples: tuple[str, ...]
    personal: Personal | None
    low: float | None = None
    high: float | None = None

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Column:
        """The inverse of `plain`. Raises TypeError for other values."""
        return cls(**{**values, "examples": tuple(values["examples"])})


def describe(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Each column of a frame as `Table` has it, in its order."""
    return tuple(_described(str(name), frame[name]) for name in frame.columns)


def _described(name: str, column: pd.Series) -> Column:
    present = column.dropna()
    unique = present.unique()
    looked_at = [level(value) for value in unique[:_LOOKED_AT]]
    numeric = pd.api.types.is_float_dtype(column.dtype)
    return Column(
        name=name,
        kind=_kind(name, present, len(unique), len(column), numeric),
        rows=len(column),
        missing=len(column) - len(present),
        distinct=len(unique),
        examples=tuple(each[:_EXAMPLE_CHARACTERS] for each in looked_at[:_EXAMPLES]),
        personal=personal(name, looked_at),
        low=float(present.min()) if numeric and len(present) else None,
        high=float(present.max()) if numeric and len(present) else None,
    )


def _kind(name: str, present: pd.Series, distinct: int, rows: int, numeric: bool) -> Kind:
    if distinct == 0 or (distinct == 1 and len(present) == rows):
        return "constant"
    if numeric:
        return "identifier" if _counts_rows(name, present, distinct) else "number"
    words = _words(present)
    if distinct >= _DISTINCT_SHARE * len(present) and len(present) >= _LEAST_ROWS:
        return "text" if words >= _TEXT_WORDS else "identifier"
    return "text" if distinct > _MOST_PHRASES and words >= _TEXT_WORDS else "category"


def _counts_rows(name: str, present: pd.Series, distinct: int) -> bool:
    """Whether these numbers only tell rows apart: whole, all different, and either without gaps
    or under a heading that says so."""
    values = present.to_numpy()
    if distinct < max(len(values), _LEAST_ROWS) or not (values == np.floor(values)).all():
        return False
    gapless = bool(values.max() - values.min() + 1 == len(values))
    return gapless or bool(_IDENTIFIER.search(name) or _CAMEL_IDENTIFIER.search(name))


def _words(present: pd.Series) -> float:
    """Words of a value on average, by the first values."""
    return float(np.mean([len(value.split()) for value in present.iloc[:_LOOKED_AT]]))
