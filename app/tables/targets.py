"""What can be learnt about a column, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from app.tables.cells import as_numbers, levels, ordered
from app.tables.errors import TableError
from app.tables.recipe import Task

LEAST_ROWS = 20
LEAST_OF_CLASS = 5
# As many as the experts of the largest routers; each class is a model of its own in boosting.
MOST_CLASSES = 512
# Of a column of numbers: more different ones than this are amounts.
_MOST_CODES = 20
_ROWS_PER_CODE = 10

TaskKind = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Target:
    """A column as a target. `rows` are those whose value is known, `missing` the others.

    `classes` with their rows, in order, none for regression. Nothing can be learnt as long as
    there are `problems`; `notes` are worth knowing. Both are lines for people.
    """

    name: str
    task: Task
    rows: int
    missing: int
    classes: tuple[tuple[str, int], ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def kind(self) -> TaskKind:
        """What a model of it does."""
        if self.task == "regression":
            return "regression"
        return "binary" if len(self.classes) == 2 else "multiclass"


def guess_task(column: pd.Series) -> Task:
    """Regression for amounts; classification for text, and for few whole numbers that repeat."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return "classification"
    values = column.dropna().unique()
    few = len(values) <= _MOST_CODES and len(values) * _ROWS_PER_CODE <= column.count()
    codes = few and bool((values == np.floor(values)).all())
    return "classification" if codes or len(values) <= 2 else "regression"


def target_of(column: pd.Series, task: Task | None = None) -> Target:
    """A column as a target for a task, or for the one that is guessed."""
    task = task or guess_task(column)
    return _classes(column) if task == "classification" else _amounts(column)


def _classes(column: pd.Series) -> Target:
    name, values = str(column.name), levels(column).dropna()
    counts = values.value_counts()
    problems = _rows(name, len(values), len(column))
    notes = list[str]()
    if len(counts) == 1:
        problems.append(f"«{name}» has only the value «{counts.index[0]}»: nothing to tell apart")
    elif len(counts) > MOST_CLASSES:
        problems.append(
            f"«{name}» has {len(counts):,} different values; at most {MOST_CLASSES:,} can be told "
            "apart. If they are amounts, choose regression"
        )
    elif len(values) >= LEAST_ROWS and int((counts >= LEAST_OF_CLASS).sum()) < 2:
        problems.append(
            f"fewer than two values of «{name}» have {LEAST_OF_CLASS} rows or more, "
            "the least that a class needs"
        )
    elif rare := int((counts < LEAST_OF_CLASS).sum()):
        some = "one value has" if rare == 1 else f"{rare:,} values have"
        notes.append(f"{some} fewer than {LEAST_OF_CLASS} rows and will hardly be learnt")
    few = len(counts) <= MOST_CLASSES
    classes = tuple((each, int(counts[each])) for each in ordered(counts.index)) if few else ()
    return Target(
        name,
        "classification",
        len(values),
        len(column) - len(values),
        classes,
        tuple(problems),
        (*notes, *_missing(len(values), len(column))),
    )


def _amounts(column: pd.Series) -> Target:
    name = str(column.name)
    try:
        values = as_numbers(column).dropna()
    except TableError as error:
        return Target(name, "regression", 0, 0, (), (str(error),), ())
    problems = _rows(name, len(values), len(column))
    if len(values) and values.nunique() == 1:
        problems.append(f"«{name}» has only the value {values.iloc[0]:g}: nothing to learn")
    return Target(
        name,
        "regression",
        len(values),
        len(column) - len(values),
        (),
        tuple(problems),
        _missing(len(values), len(column)),
    )


def _rows(name: str, known: int, rows: int) -> list[str]:
    if not known:
        return [f"«{name}» has no values"]
    if known >= LEAST_ROWS:
        return []
    have = "1 row has" if known == 1 else f"{known:,} rows have"
    of = "" if known == rows else f" of {rows:,}"
    return [f"{have} a value of «{name}»{of}; a training needs {LEAST_ROWS} or more"]


def _missing(known: int, rows: int) -> tuple[str, ...]:
    if known == rows or not known:
        return ()
    return (f"{rows - known:,} of {rows:,} rows have no value and are left out",)
