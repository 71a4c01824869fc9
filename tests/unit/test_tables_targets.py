"""Targets: which task a column is, and why nothing can be learnt about it, each in a line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from app.tables.targets import MOST_CLASSES, Target, guess_task, target_of


def text(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str", name="y")


def amounts(values: object) -> pd.Series:
    return pd.Series(values, dtype="float64", name="y")


def problem(target: Target) -> str:
    (only,) = target.problems
    assert "\n" not in only
    return only


@pytest.mark.parametrize(
    ("column", "task"),
    [
        (text(["a", "b"]), "classification"),
        (text(["1", "x"]), "classification"),
        (amounts([0, 1] * 30), "classification"),
        (amounts([0, 1, 2] * 30), "classification"),
        (amounts([0.5, 1.5] * 30), "classification"),
        (amounts([0.5, 1.5, 2.5] * 30), "regression"),
        (amounts(range(30)), "regression"),
        (amounts([1, 2, 3, 4]), "regression"),
    ],
)
def test_the_task_is_guessed(column: pd.Series, task: str) -> None:
    assert guess_task(column) == task
    assert target_of(column).task == task


def test_classes_with_their_rows() -> None:
    target = target_of(text(["b"] * 12 + ["a"] * 10 + [None] * 3))
    assert target.classes == (("a", 10), ("b", 12))
    assert (target.kind, target.rows, target.missing) == ("binary", 22, 3)
    assert target.problems == ()
    assert target.notes == ("3 of 25 rows have no value and are left out",)
    numbered = target_of(amounts([10, 9, 1] * 10))
    assert [name for name, _ in numbered.classes] == ["1", "9", "10"]
    assert numbered.kind == "multiclass"


def test_amounts() -> None:
    target = target_of(amounts([*range(30), np.nan]))
    assert (target.kind, target.classes, target.problems) == ("regression", (), ())
    assert target.notes == ("1 of 31 rows have no value and are left out",)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (text(["a"] * 30), "«y» has only the value «a»: nothing to tell apart"),
        (amounts([4.0] * 30), "«y» has only the value «4»: nothing to tell apart"),
        (text([None] * 30), "«y» has no values"),
        (amounts([np.nan] * 30), "«y» has no values"),
        (text(["a", "b", "a"]), "3 rows have a value of «y»; a training needs 20 or more"),
        (
            text(["a", "b", *[None] * 40]),
            "2 rows have a value of «y» of 42; a training needs 20 or more",
        ),
        (
            text([f"c{row}" for row in range(10_000)]),
            "«y» has 10,000 different values; at most 512 can be told apart. "
            "If they are amounts, choose regression",
        ),
        (
            text([f"c{row // 2}" for row in range(60)]),
            "fewer than two values of «y» have 5 rows or more, the least that a class needs",
        ),
    ],
)
def test_why_nothing_can_be_learnt(column: pd.Series, message: str) -> None:
    assert problem(target_of(column)) == message


def test_why_nothing_can_be_learnt_about_amounts() -> None:
    assert problem(target_of(amounts([4.0] * 30), "regression")) == (
        "«y» has only the value 4: nothing to learn"
    )
    assert problem(target_of(amounts([1.5, 2, 3]), "regression")).startswith("3 rows have")
    assert problem(target_of(text(["1", "two"] * 20), "regression")) == (
        "«y» is not a number in row 2: «two»"
    )
    assert target_of(text(["1", "2", "NA"] * 20), "regression").rows == 40


def test_as_many_classes_as_the_largest_routers_have_experts() -> None:
    column = text([f"{row % MOST_CLASSES}" for row in range(MOST_CLASSES * 5)])
    assert target_of(column).problems == ()


def test_rare_classes_are_noted() -> None:
    target = target_of(text(["a"] * 20 + ["b"] * 20 + ["c", "d", "d"]))
    assert target.problems == ()
    assert target.notes == ("2 values have fewer than 5 rows and will hardly be learnt",)
