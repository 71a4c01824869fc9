"""Splits: by seed alone, in the stated share, and never through a group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.errors import TableError
from app.tables.splitting import held_out, held_out_groups

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")


@fixed
@given(rows=st.integers(2, 300), seed=st.integers(0, 2**40), share=st.floats(0.05, 0.5))
def test_the_share_is_held_out_to_one_row(rows: int, seed: int, share: float) -> None:
    found = held_out(rows, seed, share)
    assert found.tolist() == held_out(rows, seed, share).tolist()
    assert abs(found.sum() - rows * share) <= 1
    assert 0 < found.sum() < rows


@fixed
@given(
    classes=st.lists(st.sampled_from("abc"), min_size=10, max_size=200), seed=st.integers(0, 999)
)
def test_each_class_gives_its_share_to_one_row(classes: list[str], seed: int) -> None:
    column = pd.Series(classes)
    found = held_out(len(column), seed, 0.25, column)
    for name, rows in column.value_counts().items():
        assert abs(found[(column == name).to_numpy()].sum() - rows * 0.25) <= 1


@fixed
@given(
    groups=st.lists(st.integers(0, 30), min_size=2, max_size=200),
    seed=st.integers(0, 999),
    share=st.floats(0.05, 0.5),
)
def test_no_group_is_on_both_sides(groups: list[int], seed: int, share: float) -> None:
    column = pd.Series(groups, dtype="float64", name="document")
    if column.nunique() < 2:
        with pytest.raises(TableError, match="all rows are of one «document»"):
            held_out_groups(column, seed, share)
        return
    found = held_out_groups(column, seed, share)
    assert not set(column[found]) & set(column[~found])
    assert 0 < found.sum() < len(found)
    sizes = column.value_counts()
    assert found.sum() <= max(share * len(column), sizes.min())


def test_the_split_does_not_depend_on_the_order_of_groups() -> None:
    column = pd.Series(np.repeat(np.arange(50), 4))
    found = held_out_groups(column, 3)
    mixed = column.sample(frac=1, random_state=1)
    assert held_out_groups(mixed, 3).tolist() == found[mixed.index].tolist()
    assert held_out_groups(column, 4).tolist() != found.tolist()
    assert found.sum() == 40


def test_rows_without_a_group_stand_alone() -> None:
    column = pd.Series(["a"] * 5 + [None] * 95, dtype="str")
    found = held_out_groups(column, 0)
    assert 15 <= found.sum() <= 20
    assert len(set(found[:5])) == 1


def test_where_every_group_is_too_large_the_smallest_is_held_out() -> None:
    column = pd.Series(["a"] * 6 + ["b"] * 4)
    assert held_out_groups(column, 0, 0.2).tolist() == [False] * 6 + [True] * 4


def test_the_same_rows_on_every_machine() -> None:
    assert np.flatnonzero(held_out(30, 7)).tolist() == [1, 2, 16, 20, 24, 29]
    column = pd.Series([f"d{row // 3}" for row in range(30)])
    assert np.flatnonzero(held_out_groups(column, 7)).tolist() == [3, 4, 5, 27, 28, 29]


def test_one_row_cannot_be_split() -> None:
    with pytest.raises(TableError, match="one row cannot be split"):
        held_out(1, 0)
