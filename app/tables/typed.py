"""Arrow's columns as those of a frame: float64 for numbers, str for all else, NaN for missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from app.tables.cells import MOST_EXACT, numbers
from app.tables.errors import TableError


def of_text(column: pa.ChunkedArray, commas: bool, raw: bool = False) -> pd.Series:
    """A column of a text file, trimmed: numbers if that is what it holds. `raw`: never."""
    trimmed = _trimmed(column)
    if trimmed.null_count == len(trimmed) and not raw:
        return pd.Series(np.full(len(trimmed), np.nan))
    values = None if raw else numbers(trimmed, commas)
    return _strings(trimmed) if values is None else pd.Series(values)


def of_arrow(column: pa.ChunkedArray) -> pd.Series:
    """A typed column. Booleans become "true" and "false", dates and times ISO 8601.

    Whole numbers that float64 cannot tell apart become text. Raises TableError, whose message
    goes on after the column's name, for lists, objects, and bytes that are not UTF-8.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return of_arrow(pc.cast(column, kind.value_type))
    if pa.types.is_null(kind):
        return pd.Series(np.full(len(column), np.nan))
    if pa.types.is_integer(kind) and _large(column):
        return _strings(pc.cast(column, pa.large_string()))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        return pd.Series(np.where(np.isfinite(values), values, np.nan))
    if pa.types.is_nested(kind):
        raise TableError("holds lists or objects, not single values")
    try:
        return _strings(_trimmed(pc.cast(column, pa.large_string())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        raise TableError("holds bytes that are not UTF-8" if binary else f"holds {kind}") from error


def _large(column: pa.ChunkedArray) -> bool:
    ends = pc.min_max(column).as_py()
    return any(abs(end) > MOST_EXACT for end in ends.values() if end is not None)


def _trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without white space around; blank cells are missing."""
    found = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(found, ""), None, found)


def _strings(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series(pd.array(column, dtype="str"))
