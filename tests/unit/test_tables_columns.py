"""What columns hold by their values: kinds, and what looks personal."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.columns import Column, describe
from app.tables.personal import Personal, is_iban, personal

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")
ROWS = 60
rows = np.arange(ROWS)


def text(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str")


def described(name: str, values: pd.Series) -> Column:
    return describe(pd.DataFrame({name: values}))[0]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("amount", pd.Series(np.sqrt(rows)), "number"),
        ("population", pd.Series(rows * 7919.0 % 100_003), "number"),
        ("count", pd.Series(rows % 4.0), "number"),
        ("anything", pd.Series(rows + 1000.0), "identifier"),
        ("customer_id", pd.Series(rows * 7919.0 % 100_003), "identifier"),
        ("userId", pd.Series(rows * 7919.0 % 100_003), "identifier"),
        ("humid", pd.Series(rows * 7919.0 % 100_003), "number"),
        ("id", pd.Series(rows // 2 * 1.0), "number"),
        ("colour", text(["red", "green", None] * 20), "category"),
        ("city", text([f"city {row % 40}" for row in rows]), "category"),
        ("code", text([f"A-{row:04}" for row in rows]), "identifier"),
        ("remark", text([f"this is remark {row}" for row in rows]), "text"),
        ("few", text(["a", "b", "c"]), "category"),
        ("same", text(["x"] * ROWS), "constant"),
        ("same number", pd.Series([2.0] * ROWS), "constant"),
        ("none", pd.Series([np.nan] * ROWS), "constant"),
        ("there or not", text(["x", None] * 30), "category"),
    ],
)
def test_kinds_are_guessed_by_values_and_names(name: str, values: pd.Series, kind: str) -> None:
    assert described(name, values).kind == kind


def test_what_is_told_of_a_column() -> None:
    numbers = described("a", pd.Series([3.0, np.nan, -1.5, 3.0]))
    assert (numbers.rows, numbers.missing, numbers.distinct) == (4, 1, 2)
    assert (numbers.low, numbers.high, numbers.examples) == (-1.5, 3.0, ("3", "-1.5"))
    words = described("b", text([None, "x" * 500, "y"]))
    assert words.examples == ("x" * 100, "y")
    assert words.low is words.high is None
    assert described("c", pd.Series([np.nan])).low is None


def test_it_comes_back_from_json() -> None:
    for column in describe(pd.DataFrame({"a": [1.0, 2.0], "b": text(["x@y.org", None])})):
        assert Column.of(json.loads(json.dumps(column.plain()))) == column


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("x", ["a.b+c@mail.example.org"], "e-mail"),
        ("remark", ["ask jane@example.org", *["nothing"] * 9], "e-mail"),
        ("handle", ["@jane", "a@b", "mail at example.org"], None),
        ("account", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"], "IBAN"),
        ("account", ["DE88 3704 0044 0532 0130 00"], None),
        ("x", ["+49 30 123456", "030/1234567", "(030) 123 456-7"], "phone"),
        ("Tel.", ["5551234567", "5557654321"], "phone"),
        ("mobilePhone", ["5551234567"], "phone"),
        ("hotel", ["5551234567"], None),
        ("when", ["2024-01-02", "31.12.2023", "1/2/2024"], None),
        ("amount", ["0.1234567", "0,1234567", "+0.1234567"], None),
        ("product", ["00123456", "00123457"], None),
        ("address", ["192.168.100.200"], None),
        ("name", ["Anna Schmidt", "Müller, Hans", "O'Neil, Mary-Ann", "李伟"], "name"),
        ("lastName", ["Schmidt", "van Dijk"], "name"),
        ("Kunde Vorname", ["Anna"], None),
        ("name", ["usb cable 3m", "bolt m8"], None),
        ("species", ["Iris setosa"], None),
        ("x", [], None),
    ],
)
def test_what_looks_personal(name: str, values: list[str], kind: Personal | None) -> None:
    assert personal(name, values) == kind


def test_numbers_under_a_telephone_heading_look_personal() -> None:
    assert described("phone", pd.Series([5551234567.0, 5557654321.0])).personal == "phone"


@fixed
@given(place=st.integers(2, 21), other=st.sampled_from("0123456789"))
def test_one_wrong_digit_makes_no_iban(place: int, other: str) -> None:
    right = "DE89370400440532013000"
    wrong = right[:place] + other + right[place + 1 :]
    assert is_iban(wrong) == (wrong == right)
