"""What stands in a cell: nothing, a number, or one of some levels.

Numbers are written with ASCII digits, and a point or, where `commas` are allowed, a decimal
comma; never with marks between the thousands. Whole numbers that begin with 0 (postal codes)
or have more than 15 digits (account numbers) are text: as numbers they would lose digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.tables.errors import TableError
from app.tables.offences import shown

# How files write that there is no number. In a column of text they are words like any other:
# «NA» may be Namibia, «none» a kind of garage.
MISSING_WORDS = frozenset(
    """
    na n/a #n/a <na> nan null none nil - -- ? . #div/0! #value! #num! #ref!
    inf +inf -inf infinity +infinity -infinity
    """.split()
)
# Above, not every whole number has a float64 of its own.
MOST_EXACT = 2**53
_EXPONENT = "(?:[eE][+-]?[0-9]{1,4})?"
_POINT = f"^[+-]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+){_EXPONENT}$"
_COMMA = f"^[+-]?(?:[0-9]+,[0-9]*|,[0-9]+){_EXPONENT}$"
_WHOLE_TEXT = "^[+-]?(?:0[0-9]+|[0-9]{16,})$"
_is_point, _is_comma, _is_whole_text = (
    re.compile(pattern) for pattern in (_POINT, _COMMA, _WHOLE_TEXT)
)


def number(text: str, commas: bool = False) -> float:
    """The number that a cell spells, NaN for a missing or infinite one. ValueError for others."""
    text = text.strip()
    if not text or text.lower() in MISSING_WORDS:
        return math.nan
    if commas and _is_comma.match(text):
        text = text.replace(",", ".")
    if not _is_point.match(text):
        raise ValueError(f"not a number: {text}")
    return finite(float(text))


def finite(value: float) -> float:
    """The value itself, NaN where it is infinite."""
    return value if math.isfinite(value) else math.nan


def numbers(column: pa.ChunkedArray, commas: bool = False) -> NDArray[np.float64] | None:
    """A column of trimmed text as numbers, float64 [rows]; None if that is not what it holds.

    It is where every cell is missing or a `number`, at least one is one, and none is a whole
    number that has to stay text.
    """
    words = pa.array(sorted(MISSING_WORDS), column.type)
    found = pc.if_else(pc.is_in(pc.utf8_lower(column), words), None, column)
    if found.null_count == len(found) or _any(found, _WHOLE_TEXT):
        return None
    if commas:
        with_point = pc.replace_substring(found, ",", ".")
        found = pc.if_else(pc.match_substring_regex(found, _COMMA), with_point, found)
    if not pc.all(pc.match_substring_regex(found, _POINT)).as_py():
        return None
    values = pc.cast(found, pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _any(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def level(value: Any) -> str:
    """A value as one of the levels of a category: true is "true", 3.0 is "3", text is trimmed.

    "" where it is missing. What UTF-8 cannot hold becomes "?".
    """
    match value:
        case None:
            return ""
        case bool() | np.bool_():
            return "true" if value else "false"
        case float():
            if math.isnan(value):
                return ""
            return str(int(value)) if value.is_integer() else repr(float(value))
    return str(value).strip().encode("utf-8", "replace").decode()


def level_of(value: Any, as_numbers: bool) -> str:
    """The same; `as_numbers`: a text that spells a number is the level of that number."""
    if as_numbers and isinstance(value, str):
        try:
            return level(number(value))
        except ValueError:
            pass
    return level(value)


def levels(column: pd.Series, as_numbers: bool = False) -> pd.Series:
    """A column as levels, dtype str, NaN where missing."""
    return translated(column, lambda value: level_of(value, as_numbers))


def translated(column: pd.Series, text_of: Callable[[Any], str]) -> pd.Series:
    """The text of each value, asked once for equal ones; dtype str, NaN for "" and missing."""
    codes, unique = pd.factorize(column)
    # Missing values have the code −1, which is the last text.
    texts = np.array([*(text_of(value) or None for value in unique), None], dtype=object)
    return pd.Series(texts[codes], column.index, "str", name=column.name)


def as_numbers(column: pd.Series) -> pd.Series:
    """A column as float64, NaN where missing. Raises TableError for a cell that is no number;
    its row is by the index, which counts from 0."""
    if column.dtype == np.float64:
        return column
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(np.float64)
    codes, unique = pd.factorize(column)
    values = np.full(len(unique) + 1, np.nan)
    for place, value in enumerate(unique):
        try:
            values[place] = number(str(value))
        except ValueError:
            row = int(column.index[np.argmax(codes == place)]) + 1
            raise TableError(
                f"«{column.name}» is not a number in row {row:,}: {shown(str(value))}"
            ) from None
    return pd.Series(values[codes], column.index, name=column.name)


def ordered(found: Iterable[str]) -> list[str]:
    """Levels in the order of the numbers that they spell, if all do, else of their letters."""
    unique = sorted(set(found))
    try:
        numeric = {each: number(each) for each in unique}
    except ValueError:
        return unique
    return (
        unique
        if any(map(math.isnan, numeric.values()))
        else sorted(unique, key=numeric.__getitem__)
    )
