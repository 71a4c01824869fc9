"""Cells: what is a number, a level, or missing; the same for one cell and for a column."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.cells import (
    MISSING_WORDS,
    as_numbers,
    level,
    level_of,
    levels,
    number,
    numbers,
    ordered,
)
from app.tables.errors import TableError

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("+1.", 1), ("-.5", -0.5), (" 2e3 ", 2000), ("1E-2", 0.01), ("007", 7)],
)
def test_what_spells_a_number(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", " ", "NA", "NaN", "null", "-inf", "1e999", "?", "#DIV/0!"])
def test_what_is_missing_among_numbers(text: str) -> None:
    assert math.isnan(number(text))


@pytest.mark.parametrize("text", ["1,5", "1_000", "0x10", "1 2", "١", "e5", "1.2.3", "true"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        number(text)


def test_a_decimal_comma_is_one_where_it_is_allowed() -> None:
    assert number("1,5", commas=True) == number("1.5", commas=True) == 1.5
    with pytest.raises(ValueError, match="not a number"):
        number("1.234,5", commas=True)


numeric = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**14), 10**14).map(str),
    st.sampled_from([*sorted(MISSING_WORDS), "NA", "1,5", "-2,", "+3", "4.", ".5"]),
    st.text("0123456789.,eE+-", max_size=5),
)


@fixed
@given(texts=st.lists(numeric, min_size=1, max_size=6), commas=st.booleans())
def test_a_column_is_one_of_numbers_where_every_cell_is_one(texts: list[str], commas: bool) -> None:
    column = pa.chunked_array([pa.array([text or None for text in texts], pa.large_string())])
    found = numbers(column, commas)
    try:
        expected = [number(text, commas) for text in texts]
    except ValueError:
        assert found is None
        return
    if found is not None:
        np.testing.assert_array_equal(found, expected)
    else:
        words = all(not text or text.lower() in MISSING_WORDS for text in texts)
        digits = [text.lstrip("+-") for text in texts]
        assert words or any(
            each.isdecimal() and (len(each) > 15 or (len(each) > 1 and each[0] == "0"))
            for each in digits
        )


@pytest.mark.parametrize("texts", [["01234", "5"], ["1", "1234567890123456"], ["-007", "1"]])
def test_whole_numbers_that_would_lose_digits_stay_text(texts: list[str]) -> None:
    assert numbers(pa.chunked_array([pa.array(texts, pa.large_string())])) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (np.False_, "false"),
        (3.0, "3"),
        (np.float64(-2.5), "-2.5"),
        (7, "7"),
        (" a b ", "a b"),
        ("\ud800", "?"),
        (None, ""),
        (math.nan, ""),
    ],
)
def test_levels_are_text(value: object, text: str) -> None:
    assert level(value) == text


def test_the_level_of_a_number_is_the_same_however_it_is_spelt() -> None:
    assert {level_of(value, True) for value in (12, 12.0, "12", "12.0", " 1.2e1")} == {"12"}
    assert level_of("12.0", False) == "12.0"
    assert level_of("twelve", True) == "twelve"
    assert levels(pd.Series(["12.0", "x", None]), True).tolist()[:2] == ["12", "x"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([1.0, np.nan, 2.5]), ["1", None, "2.5"]),
        (pd.Series([" ", "b", None], dtype="str"), [None, "b", None]),
        (pd.Series([], dtype="float64"), []),
        (pd.Series([2, 1]), ["2", "1"]),
    ],
)
def test_a_column_of_levels(column: pd.Series, expected: list[str | None]) -> None:
    found = levels(column)
    assert str(found.dtype) == "str"
    assert [None if pd.isna(each) else each for each in found] == expected


def test_text_is_taken_as_numbers_or_the_row_is_named() -> None:
    column = pd.Series(["1", None, "NA", "2.5"], dtype="str", name="size")
    np.testing.assert_array_equal(as_numbers(column), [1, np.nan, np.nan, 2.5])
    part = pd.Series(["1", "2", "about\n3"], dtype="str", name="size", index=[0, 5, 1200])
    with pytest.raises(TableError, match=r"^«size» is not a number in row 1,201: «about 3»$"):
        as_numbers(part)


def test_levels_come_in_the_order_of_their_numbers_or_letters() -> None:
    assert ordered(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert ordered(["10", "9", "a"]) == ["10", "9", "a"]
    assert ordered(["NA", "10", "9"]) == ["10", "9", "NA"]
