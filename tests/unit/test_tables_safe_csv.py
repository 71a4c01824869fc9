"""CSV for download: no cell is a formula, and everything else reads back."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.safe_csv import safe_cell, safe_csv

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "=cmd|'/c calc'!A1",
        "+A1",
        "-A1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1+1",
        "-",
        "+inf",
    ],
)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "-1.5", "+3", "-2e-3", "'=1", "5-3", " x"])
def test_all_else_stays(text: str) -> None:
    assert safe_cell(text) == text


def test_a_frame_with_formulas_in_cells_and_names() -> None:
    frame = pd.DataFrame(
        {
            "=a": [-1.5, np.nan],
            "'=a": pd.Series(["=1,2", None], dtype="str"),
            "c": pd.Series(['say "hi"', "two\nlines"], dtype="str"),
        }
    )
    assert safe_csv(frame) == ('\'=a,\'=a,c\n-1.5,"\'=1,2","say ""hi"""\n,,"two\nlines"\n')


some_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


@fixed
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    texts=st.lists(some_text, min_size=5, max_size=5),
)
def test_what_is_no_formula_reads_back(numbers: list[float], texts: list[str]) -> None:
    texts = texts[: len(numbers)]
    frame = pd.DataFrame({"n": numbers, "t": pd.Series(texts, dtype="str")})
    header, *rows = csv.reader(io.StringIO(safe_csv(frame), newline=""))
    assert header == ["n", "t"]
    assert [float(number) for number, _ in rows] == numbers
    assert [text for _, text in rows] == [safe_cell(text) for text in texts]
