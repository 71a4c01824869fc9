"""Answers of a model without a server: H2O's own reader of its models, in this process.

A row takes hundredths of a millisecond and gives what the server would say, to the bit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.automl.columns import Columns
from app.automl.java import h2o_jar, java

_starting = threading.Lock()


class ModelFileError(Exception):
    """A file that holds no model, or another one than its columns say; one line."""


@dataclass(frozen=True)
class Scores:
    """Answers for some rows.

    `predicted`: float64 [rows], the number of a class or, for a regression, the value. For two
    classes H2O's own threshold decides (best F1 in training), not one half.
    `probabilities`: float64 [rows, classes], empty for a regression.
    """

    predicted: NDArray[np.float64]
    probabilities: NDArray[np.float64]


class Scorer:
    """A model of a file that `Client.mojo` wrote. Safe to use from any thread."""

    def __init__(self, file: Path, columns: Columns) -> None:
        """Raises ModelFileError, or AutomlMissingError without Java."""
        self.columns = columns
        self._jpype = _started()
        java_error = self._jpype.JException
        try:
            self._model = self._jpype.JClass("hex.genmodel.MojoModel").load(str(file))
        except java_error as error:
            raise ModelFileError(f"{file.name} holds no model that can be read") from error
        classes = int(self._model.getNumResponseClasses()) if self._model.isClassifier() else 0
        if classes != len(columns.classes):
            raise ModelFileError(f"{file.name} is another model than its columns say")
        self._answers = int(self._model.getPredsSize())
        places: Mapping[str, int] = {name: place for place, name in enumerate(columns.names)}
        # The model's own order; it leaves out what didn't vary, and has the target at its end.
        self._places = [places.get(str(name), -1) for name in self._model.getNames()]

    def score(self, frame: pd.DataFrame) -> Scores:
        """Answers for the rows of a table that is prepared as the training's was.

        Raises KeyError for a missing column, ValueError for a number that is none.
        """
        return self.score_numbers(self.columns.numbers(frame))

    def score_numbers(self, numbers: NDArray[np.float64]) -> Scores:
        """Answers for rows as `Columns.numbers` gives them."""
        padded = np.column_stack([numbers, np.full(len(numbers), np.nan)])
        rows = np.ascontiguousarray(padded[:, self._places])
        out = np.empty((len(rows), self._answers))
        answer, array = self._jpype.JDouble[self._answers], self._jpype.JArray
        score = self._model.score0
        for place, row in enumerate(rows):
            out[place] = score(array.of(row), answer)
        return Scores(out[:, 0], out[:, 1 : 1 + len(self.columns.classes)])


def named(scores: Scores, columns: Columns) -> list[Any]:
    """What is predicted, row by row: the class, or the number."""
    if columns.task == "regression":
        return list(scores.predicted.tolist())
    return [columns.classes[int(place)] for place in scores.predicted]


def _started() -> Any:
    """JPype with a running Java; one can be started in a process. Raises AutomlMissingError."""
    jar, found = h2o_jar(), java()
    import jpype

    with _starting:
        if not jpype.isJVMStarted():
            jpype.startJVM(
                str(found.library),
                "-Xrs",  # signals stay Python's
                "-XX:+UseSerialGC",
                "-XX:-UsePerfData",
                "-Djava.awt.headless=true",
                classpath=[str(jar)],
                convertStrings=False,
                interrupt=False,
            )
            # At the end Java waits for the thread that started it, which may be gone by then. It
            # waits for no thread that comes to it later.
            jpype.JClass("java.lang.Thread").detach()
    return jpype
