"""A preparation that has seen a table: the same is done to every row that comes later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.tables.cells import as_numbers, level_of, levels, ordered, translated
from app.tables.errors import TableError
from app.tables.recipe import FeatureKind, Recipe
from app.tables.secret import hashed, mark

# What rare levels become, and then those that were never seen.
OTHER = "(other)"


@dataclass(frozen=True)
class Feature:
    """What is known of a column that is learnt from.

    `typical` is the median of numbers, the most frequent level of categories, None without any
    value. `missing`: some values were missing. Of numbers, `low` and `high` are the ends, and
    `whole` says that all are whole. Of categories, `levels` are those that are kept, `other`
    says that there are rarer ones, and `spelt` that the levels were numbers in the table.
    """

    name: str
    kind: FeatureKind
    missing: bool
    typical: float | str | None
    low: float | None = None
    high: float | None = None
    whole: bool = False
    levels: tuple[str, ...] = ()
    other: bool = False
    spelt: bool = False


@dataclass(frozen=True)
class Fitted:
    """A recipe with what it has to know of the training table. Holds no value of hashed columns.

    `classes` are the levels of the target, none for regression. `key`: the mark of the key that
    hashed columns need, "" without any.
    """

    recipe: Recipe
    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    key: str = ""

    def inputs(self, frame: pd.DataFrame, key: bytes | None = None) -> pd.DataFrame:
        """The features of each row, float64 or str, missing values as NaN: hashed, and rare
        levels made one, but nothing filled.

        Raises TableError if a column is not there, a number is none, or the key is another one.
        """
        if self.key and (key is None or mark(key) != self.key):
            raise TableError("columns of this model are hashed with a key that is not here")
        return pd.DataFrame(
            {each.name: self._input(each, frame, key) for each in self.features}, frame.index
        )

    def apply(self, frame: pd.DataFrame, key: bytes | None = None) -> pd.DataFrame:
        """What the model gets: `inputs`, with missing values filled if the recipe says so."""
        found = self.inputs(frame, key)
        if self.recipe.missing != "fill":
            return found
        typical = {each.name: each.typical for each in self.features if each.typical is not None}
        return found.fillna(typical)

    def answers(self, frame: pd.DataFrame) -> pd.Series:
        """The target of each row: levels, or float64 for regression. Raises TableError."""
        return _answers(frame, self.recipe)

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "recipe": self.recipe.plain(),
            "features": [asdict(each) | {"levels": list(each.levels)} for each in self.features],
            "classes": list(self.classes),
            "key": self.key,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Fitted:
        """The inverse of `plain`. Raises TypeError or KeyError for other values."""
        return cls(
            Recipe.of(values["recipe"]),
            tuple(
                Feature(**{**each, "levels": tuple(each["levels"])}) for each in values["features"]
            ),
            tuple(values["classes"]),
            values["key"],
        )

    def _input(self, feature: Feature, frame: pd.DataFrame, key: bytes | None) -> pd.Series:
        if feature.name not in frame:
            raise TableError(f"there is no column «{feature.name}»")
        column = frame[feature.name]
        if feature.kind == "number":
            return as_numbers(column)
        known, rest = frozenset(feature.levels), OTHER if feature.other else ""
        text_of = _text_of(feature.name, feature.spelt, self._key_of(feature.name, key))

        def kept(value: Any) -> str:
            text = text_of(value)
            return text if not text or text in known else rest

        return translated(column, kept)

    def _key_of(self, name: str, key: bytes | None) -> bytes | None:
        return key if name in self.recipe.hashed else None


def trainable(frame: pd.DataFrame, recipe: Recipe) -> NDArray[np.bool_]:
    """Which rows can be learnt from, bool [rows]: those whose target is known, and without a
    missing value where the recipe refuses them. Raises TableError."""
    recipe.check(frame.columns)
    known = _answers(frame, recipe).notna()
    if recipe.missing == "refuse":
        for name, kind in recipe.features.items():
            column = as_numbers(frame[name]) if kind == "number" else frame[name]
            known &= column.notna()
    found: NDArray[np.bool_] = known.to_numpy(dtype=np.bool_)
    return found


def fit(frame: pd.DataFrame, recipe: Recipe, key: bytes | None = None) -> Fitted:
    """What the preparation of these rows needs to know, which should be `trainable` ones, and
    none of those that are held out. Raises TableError."""
    recipe.check(frame.columns)
    if recipe.hashed and key is None:
        raise TableError("a key is needed to hash columns")
    features = tuple(
        _number(frame[name])
        if kind == "number"
        else _levels(frame[name], recipe, key if name in recipe.hashed else None)
        for name, kind in recipe.features.items()
    )
    answers = _answers(frame, recipe)
    classes = ordered(answers.dropna().unique()) if recipe.task == "classification" else ()
    return Fitted(recipe, features, tuple(classes), mark(key) if recipe.hashed and key else "")


def _answers(frame: pd.DataFrame, recipe: Recipe) -> pd.Series:
    column = frame[recipe.target]
    return levels(column) if recipe.task == "classification" else as_numbers(column)


def _number(column: pd.Series) -> Feature:
    values = as_numbers(column)
    present = values.dropna().to_numpy()
    name, missing = str(column.name), len(present) < len(values)
    if not len(present):
        return Feature(name, "number", missing, None)
    return Feature(
        name,
        "number",
        missing,
        typical=float(np.median(present)),
        low=float(present.min()),
        high=float(present.max()),
        whole=bool((present == np.floor(present)).all()),
    )


def _levels(column: pd.Series, recipe: Recipe, key: bytes | None) -> Feature:
    spelt = pd.api.types.is_numeric_dtype(column.dtype)
    found = translated(column, _text_of(str(column.name), spelt, key))
    counts = found.value_counts()
    by_frequency = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [name for name, rows in by_frequency if rows >= recipe.least_rows]
    kept = kept[: recipe.most_levels]
    return Feature(
        str(column.name),
        "category",
        bool(found.isna().any()),
        typical=kept[0] if kept else OTHER if by_frequency else None,
        levels=tuple(ordered(kept)),
        other=len(kept) < len(by_frequency),
        spelt=spelt,
    )


def _text_of(name: str, spelt: bool, key: bytes | None) -> Callable[[Any], str]:
    """How the values of a category become levels, "" for missing ones."""

    def text_of(value: Any) -> str:
        text = level_of(value, spelt)
        return hashed(key, name, text) if key is not None and text else text

    return text_of
