"""How a version does: drift of what it is asked and of what it answers, quality by labels. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.automl.evaluation import metrics
from app.serving.notes import Counts, counted
from app.serving.predictor import Predictor
from app.serving.store import Labelled
from app.tables.cells import as_numbers, level_of
from app.tables.drift import Drift, drift
from app.tables.errors import TableError


@dataclass(frozen=True)
class Drifted:
    """How far a feature, or with the name "" the predictions, is from the training.

    `training` and `now` count the values in bins with these `titles`; the predictions of the
    training are those for the rows held out.
    """

    name: str
    kind: str
    drift: Drift
    titles: tuple[str, ...]
    training: Counts
    now: Counts


def drifts(predictor: Predictor, values: Counts) -> list[Drifted]:
    """Of each feature and of the predictions; `values` as `notes.Tally` has them."""
    return [
        Drifted(name, each.bins.kind, drift(each.counts, now), each.bins.titles, each.counts, now)
        for name, each, now in counted(predictor.profile, values)
    ]


def quality(predictor: Predictor, labelled: Labelled) -> Mapping[str, float]:
    """The metrics of answers whose truth is known, as those on the hold-out; none without any.

    A class that the training had not counts as wrong; intervals take rows for independent.
    """
    if not labelled.truth:
        return {}
    columns = predictor.columns
    told = labelled.truth
    if columns.task != "regression":
        known = frozenset(columns.classes)
        # "1.0" is the class "1", as it is in a table of numbers.
        told = [each if each in known else level_of(each, True) for each in told]
    kind = np.float64 if columns.task == "regression" else object
    frame = pd.DataFrame({columns.target: pd.Series(told, dtype=kind)})
    truth, groups = columns.truth(frame), np.arange(len(frame))
    # What people tell may be of any size; what is no number then is left out.
    with np.errstate(over="ignore", invalid="ignore"):
        found = metrics(columns, truth, labelled.scores, groups)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def truths(task: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What people tell of rows, as it is kept: numbers for a regression, else names of classes.

    Missing ones are left out. Raises TableError for what is no number.
    """
    if task == "regression":
        column = as_numbers(pd.Series(list(told.values()), dtype=object, name="truth"))
        found = dict(zip(told, column.tolist(), strict=True))
        return {id_: value for id_, value in found.items() if not np.isnan(value)}
    for place, value in enumerate(told.values(), 1):
        if not isinstance(value, str | int | float | bool | None):
            raise TableError(f"«truth» is no single value in row {place:,}")
    return {id_: text for id_, value in told.items() if (text := level_of(value, False))}
