"""A version that may become the champion beside the one that is, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from app.automl.evaluation import Floats, difference, losses, metrics
from app.automl.library import Trainings
from app.preparing import HeldOut, held_out_rows
from app.recording.base import InvalidQueryError
from app.recording.registered import CHAMPION
from app.serving.predictor import Predictor
from app.serving.serving import Serving


@dataclass(frozen=True)
class Challenge:
    """Both versions on the `rows` that the challenger's training held out, with their metrics.

    `difference` has `better`, by how much the challenger's mean loss is below the champion's
    (log loss in nats, or the mean absolute error), and its interval.
    """

    champion: int
    challenger: int
    rows: int
    metrics: tuple[Mapping[str, float], Mapping[str, float]]
    difference: Mapping[str, float]


def challenge(
    serving: Serving, trainings: Trainings, data: Path, name: str, version: int
) -> Challenge:
    """Compares a version of a model with its champion.

    The champion may have been trained on some of these rows, if the two tables share them; then
    it looks better than it is. Raises TrainingNotFoundError or TableError where the rows are not
    here any more, SchemaError where the champion does not take them, InvalidQueryError for the
    champion itself, or as `Serving.served` does.
    """
    champion, challenger = serving.served(name, CHAMPION), serving.served(name, version)
    if champion.version.version == version:
        raise InvalidQueryError(f"version {version} of «{name}» is the champion itself")
    found = trainings.find(challenger.version.training)
    rows = held_out_rows(found.order, data)
    before, before_losses = _judged(champion.predictor, rows)
    after, after_losses = _judged(challenger.predictor, rows)
    return Challenge(
        champion.version.version,
        version,
        len(rows.frame),
        (before, after),
        difference(after_losses, before_losses, rows.groups),
    )


def _judged(predictor: Predictor, rows: HeldOut) -> tuple[Mapping[str, float], Floats]:
    columns = predictor.columns
    scores = predictor.scores(predictor.checked(_plain(rows.frame)))
    truth = columns.truth(rows.frame)
    return metrics(columns, truth, scores, rows.groups), losses(columns, truth, scores)


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found
