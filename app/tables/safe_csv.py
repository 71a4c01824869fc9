"""CSV that people download: a spreadsheet that opens it calculates nothing of its own.

OWASP ASVS 5.0, 1.2.10: a cell that begins with one of = + - @, a tab or a null character gets an
apostrophe in front. So do those that begin with a line end, or with the full-width forms.
Numbers stay as they are.
"""

from __future__ import annotations

import math

import pandas as pd

from app.tables.cells import number

_BEGINS_FORMULA = "=+-@\t\r\n\0＝＋－＠"


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    if not text.startswith(tuple(_BEGINS_FORMULA)):
        return text
    try:
        is_number = math.isfinite(number(text))
    except ValueError:
        is_number = False
    return text if is_number else f"'{text}"


def safe_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV with a header, RFC 4180 but for the line ends, which are "\\n".

    Missing values are empty; numbers read back as the same float64.
    """
    safe = pd.DataFrame({name: _safe(frame[name]) for name in frame.columns})
    names = [safe_cell(str(name)) for name in frame.columns]
    text: str = safe.to_csv(index=False, header=names, lineterminator="\n")
    return text


def _safe(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return column.map(lambda value: safe_cell(str(value)), na_action="ignore")
