"""A model of the registry in memory: what it takes, how rows are prepared, what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from app.automl.columns import Columns
from app.automl.mojo import ModelFileError, Scorer, Scores, named
from app.recording.model_files import COLUMNS, MOJO, PROFILE, RECIPE, SCHEMA
from app.tables.fitting import Fitted
from app.tables.profile import Profile
from app.tables.schema import Schema
from app.tables.secret import mark


class Predictor:
    """A model and all that its answers need. Safe to use from any thread."""

    def __init__(self, folder: Path, key: Callable[[], bytes]) -> None:
        """Reads the folder that `model_files.write_model` wrote; nothing of it is needed later.

        `key` gives that of hashed columns, and is asked only where there are some. Raises
        ModelFileError, AutomlMissingError or OSError.
        """
        try:
            self.schema = Schema.of(_read(folder / SCHEMA))
            self.profile = Profile.of(_read(folder / PROFILE))
            self.columns = Columns.of(_read(folder / COLUMNS))
            self._fitted = Fitted.of(_read(folder / RECIPE))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError("the model's files can't be read") from error
        self._key = key() if self._fitted.key else None
        if self._key is not None and mark(self._key) != self._fitted.key:
            raise ModelFileError("the key that the model's hashed columns need is not here")
        self._scorer = Scorer(folder / MOJO, self.columns)

    def checked(self, rows: Sequence[Any], commas: bool = False) -> pd.DataFrame:
        """Rows as the schema promises them, see `Schema.check`. Raises SchemaError."""
        return self.schema.check(rows, commas)

    def inputs(self, checked: pd.DataFrame) -> pd.DataFrame:
        """What is counted of `checked` rows to compare them with the training's."""
        return self._fitted.inputs(checked, self._key)

    def scores(self, checked: pd.DataFrame) -> Scores:
        """Answers to `checked` rows."""
        return self._scorer.score(self._fitted.apply(checked, self._key))

    def named(self, scores: Scores) -> list[Any]:
        """What is predicted, row by row: the class, or the number."""
        return named(scores, self.columns)


def _read(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values
