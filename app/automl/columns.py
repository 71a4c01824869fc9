"""Names and levels by number: what H2O gets of a table, and how to read what it says of it.

Whatever a column or a level is called (quotes, line breaks, «NA», a name with a dot), H2O sees
`c0`, `c1` … and `00000`, `00001` …; what they stand for is kept beside the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["number", "category"]
Task = Literal["binary", "multiclass", "regression"]
Ordered = Callable[[Iterable[str]], Sequence[str]]

TARGET, FOLD = "target", "fold"
_LEVEL_DIGITS = 6


@dataclass(frozen=True)
class Feature:
    """A column that is predicted from. `levels` are a category's in the training's rows."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()

    @cached_property
    def places(self) -> dict[str, float]:
        """Level by level its number."""
        return {level: float(place) for place, level in enumerate(self.levels)}


@dataclass(frozen=True)
class Columns:
    """What a model knows of its table. `classes` are the target's, none for a regression."""

    features: tuple[Feature, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()

    @classmethod
    def of_frame(
        cls,
        frame: pd.DataFrame,
        target: str,
        task: Task,
        kinds: Mapping[str, Kind],
        ordered: Ordered = sorted,
    ) -> Self:
        """Those of the training's rows; `kinds` names the features. `ordered` puts levels and
        classes into order."""
        features = tuple(
            Feature(name, kind, _levels(frame[name], ordered) if kind == "category" else ())
            for name, kind in kinds.items()
        )
        classes = () if task == "regression" else _levels(frame[target], ordered)
        return cls(features, target, task, classes)

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""
        features = tuple(
            Feature(one["name"], one["kind"], tuple(one["levels"])) for one in values["features"]
        )
        return cls(features, values["target"], values["task"], tuple(values["classes"]))

    def numbers(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The features of rows, float64 [rows, features]: a number, or the number of a level.

        NaN stands for a missing or infinite value, and for a level that the training had not.
        Raises KeyError for a missing column, ValueError for a number that is none.
        """
        out = np.empty((len(frame), len(self.features)))
        for place, feature in enumerate(self.features):
            values = frame[feature.name]
            if feature.kind == "number":
                out[:, place] = _finite(values)
            else:
                out[:, place] = _placed(values, feature.places)
        return out

    def truth(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The target of rows, float64 [rows]: a number, or that of a class.

        NaN stands for a missing value and for a class that the training had not.
        """
        values = frame[self.target]
        if self.task == "regression":
            return _finite(values)
        places = {name: float(place) for place, name in enumerate(self.classes)}
        return np.asarray(_placed(values, places), dtype=np.float64)

    def write(
        self, frame: pd.DataFrame, file: Path, folds: NDArray[np.int64] | None = None
    ) -> dict[str, str]:
        """Writes rows as the CSV that H2O is to read; gives its types of the columns.

        `folds`: for each row the fold that it is held out in, int64 [rows]. Raises OSError.
        """
        numbers = pd.DataFrame(self.numbers(frame), columns=self.names)
        numbers[TARGET] = self.truth(frame)
        types = {
            f"c{place}": "Numeric" if feature.kind == "number" else "Enum"
            for place, feature in enumerate(self.features)
        }
        types[TARGET] = "Numeric" if self.task == "regression" else "Enum"
        for name, type_ in types.items():
            if type_ == "Enum":
                numbers[name] = [_level(place) for place in numbers[name].tolist()]
        if folds is not None:
            numbers[FOLD], types[FOLD] = folds, "Numeric"
        numbers.to_csv(file, index=False)
        return types

    @property
    def names(self) -> list[str]:
        """The features' names for H2O."""
        return [f"c{place}" for place in range(len(self.features))]


@dataclass(frozen=True)
class Rows:
    """A table that is prepared: rows to train on, and rows held out.

    Rows of one group (int64 per row) are never on both sides of anything; None: every row is
    one of its own.
    """

    training: pd.DataFrame
    holdout: pd.DataFrame
    training_groups: NDArray[np.int64] | None = None
    holdout_groups: NDArray[np.int64] | None = None


def _levels(values: pd.Series[Any], ordered: Ordered) -> tuple[str, ...]:
    return tuple(ordered({str(value) for value in values.dropna().unique()}))


def _finite(values: pd.Series[Any]) -> NDArray[np.float64]:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _placed(values: pd.Series[Any], places: Mapping[str, float]) -> list[float]:
    texts: Sequence[Any] = values.tolist()
    return [
        places.get(text, np.nan) if isinstance(text, str) else _other(text, places)
        for text in texts
    ]


def _other(value: Any, places: Mapping[str, float]) -> float:
    return np.nan if pd.isna(value) else places.get(str(value), np.nan)


def _level(place: float) -> str:
    return "" if np.isnan(place) else f"{int(place):0{_LEVEL_DIGITS}d}"
