"""What rows a model takes: a promise to those who ask it, checked cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from app.tables.cells import level_of, number
from app.tables.fitting import Feature, Fitted
from app.tables.offences import Offences, shown
from app.tables.recipe import FeatureKind
from app.tables.targets import TaskKind

_NAMED_LEVELS = 10


@dataclass(frozen=True)
class Field:
    """A column of the rows.

    `missing`: null is taken. Of numbers, `low` and `high` are what the training had (others are
    taken too), `whole` says that all were. Of categories, `levels` are those of the training,
    none where values are hashed; `others` says what becomes of any other one, and `spelt` that a
    number is one too. `typical` is a good value to begin with.
    """

    name: str
    kind: FeatureKind
    missing: bool
    typical: float | str | None = None
    low: float | None = None
    high: float | None = None
    whole: bool = False
    levels: tuple[str, ...] = ()
    others: Literal["taken", "missing", "refused"] = "taken"
    spelt: bool = False


@dataclass(frozen=True)
class Schema:
    """The columns that a model takes, and what it answers: `classes` are none for regression."""

    target: str
    task: TaskKind
    classes: tuple[str, ...]
    fields: tuple[Field, ...]

    @classmethod
    def of_fitted(cls, fitted: Fitted) -> Schema:
        """That of a model which was trained on what `fitted` prepares."""
        task: TaskKind = "regression"
        if fitted.recipe.task == "classification":
            task = "binary" if len(fitted.classes) == 2 else "multiclass"
        fields = tuple(_field(each, fitted) for each in fitted.features)
        return cls(fitted.recipe.target, task, fitted.classes, fields)

    def check(self, rows: Sequence[Any], commas: bool = False) -> pd.DataFrame:
        """Rows, each a mapping of names to JSON values, as a frame: float64 for numbers, str for
        categories, NaN for missing. Other columns of the rows are left out.

        Every column has to be there, as null where it is missing. Text that spells a number is
        one, as in CSV; `commas` as in `Table`. Raises SchemaError, also for no rows.
        """
        found = Offences()
        if not rows:
            found.add(1, "", "at least one row", "none")
        for place, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                found.add(place, "", "an object", shown(row))
        found.end()
        # One index for all: to find that they agree costs more than a row does.
        index = pd.RangeIndex(len(rows))
        columns = {
            each.name: pd.Series(_cells(each, rows, commas, found), index, _dtype(each))
            for each in self.fields
        }
        found.end()
        return pd.DataFrame(columns, index)

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        fields = [asdict(each) | {"levels": list(each.levels)} for each in self.fields]
        return {
            "target": self.target,
            "task": self.task,
            "classes": list(self.classes),
            "fields": fields,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Schema:
        """The inverse of `plain`. Raises TypeError or KeyError for other values."""
        fields = tuple(
            Field(**{**each, "levels": tuple(each["levels"])}) for each in values["fields"]
        )
        return cls(values["target"], values["task"], tuple(values["classes"]), fields)


def _field(feature: Feature, fitted: Fitted) -> Field:
    recipe = fitted.recipe
    hashed = feature.name in recipe.hashed
    others: Literal["taken", "missing", "refused"] = "taken"
    if not feature.other and not hashed:
        others = "refused" if recipe.unknown == "refuse" else "missing"
    return Field(
        name=feature.name,
        kind=feature.kind,
        missing=recipe.missing != "refuse",
        typical=None if hashed else feature.typical,
        low=feature.low,
        high=feature.high,
        whole=feature.whole,
        levels=() if hashed else feature.levels,
        others=others,
        spelt=feature.spelt,
    )


_ABSENT = object()


def _dtype(field: Field) -> str:
    return "float64" if field.kind == "number" else "str"


def _cells(field: Field, rows: Sequence[Any], commas: bool, found: Offences) -> list[Any]:
    """A column of all rows; what offends is noted and left missing."""
    parse = _number(field, commas) if field.kind == "number" else _level(field)
    cells = list[Any]()
    for place, row in enumerate(rows, 1):
        value = row.get(field.name, _ABSENT)
        cell, expected = parse(value)
        if expected:
            found.add(place, field.name, expected, shown(value))
        cells.append(cell)
    return cells


# The cell, and what was expected instead, "" if it is as promised.
_Parse = Callable[[Any], tuple[Any, str]]


def _number(field: Field, commas: bool) -> _Parse:
    expected = "a number or null" if field.missing else "a number"

    def parse(value: Any) -> tuple[float, str]:
        cell = math.nan
        match value:
            case None:
                pass
            case bool():
                return cell, expected
            case int() | float():
                try:
                    cell = float(value)
                except OverflowError:
                    return math.nan, "a finite number"
                if math.isinf(cell):
                    return math.nan, "a finite number"
            case str():
                try:
                    cell = number(value, commas)
                except ValueError:
                    return math.nan, expected
            case _:
                return cell, expected
        return cell, expected if math.isnan(cell) and not field.missing else ""

    return parse


def _level(field: Field) -> _Parse:
    known = frozenset(field.levels)
    named = ", ".join(field.levels[:_NAMED_LEVELS])
    rest = len(field.levels) - _NAMED_LEVELS
    choices = f"one of {named}" + (f" and {rest:,} others" if rest > 0 else "")
    text = choices if field.others == "refused" else "text"
    expected = f"{text} or null" if field.missing else text

    def parse(value: Any) -> tuple[str | None, str]:
        if not isinstance(value, str | int | float | bool | None):
            return None, expected
        cell = level_of(value, field.spelt) or None
        if cell is None:
            return None, "" if field.missing else expected
        if field.others == "refused" and cell not in known:
            return None, expected
        return cell, ""

    return parse
