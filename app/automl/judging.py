"""The models of a training on the rows that were held out, by the answers that they will serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.automl import evaluation
from app.automl.columns import Columns, Rows
from app.automl.files import holdout_file, model_file
from app.automl.importance import importances
from app.automl.mojo import Scorer, Scores, named
from app.automl.order import Importance, Leader, Model


@dataclass(frozen=True)
class Verdict:
    """The models in their order, what they are compared with, and what the best one rests on."""

    models: tuple[Model, ...]
    baseline: Mapping[str, float]
    importance: tuple[Importance, ...]


def judge(
    columns: Columns,
    rows: Rows,
    leaders: Sequence[Leader],
    seconds: Mapping[str, float],
    folder: Path,
    seed: int,
) -> Verdict:
    """Has each model answer to the hold-out; keeps the answers of the first, the best.

    `leaders` are those whose models lie in `folder`, `seconds` what each took by its name.
    Raises AutomlMissingError, ModelFileError or OSError.
    """
    numbers, truth = columns.numbers(rows.holdout), columns.truth(rows.holdout)
    groups = rows.holdout_groups
    if groups is None:
        groups = np.arange(len(rows.holdout))
    models = []
    for leader in leaders:
        scores = Scorer(model_file(folder, leader.name), columns).score_numbers(numbers)
        found = evaluation.metrics(columns, truth, scores, groups)
        took = seconds[leader.name]
        models.append(Model(leader.name, leader.family, leader.validation, found, took))
        if leader is leaders[0]:
            answers = _answers(columns, rows.holdout, truth, scores, groups)
            answers.to_parquet(holdout_file(folder), index=False)
    trained_on = columns.truth(rows.training)
    untaught = evaluation.baseline(columns, trained_on, len(truth))
    best = Scorer(model_file(folder, leaders[0].name), columns)

    def loss(shuffled: NDArray[np.float64], which: NDArray[np.int64]) -> float:
        return evaluation.loss(columns, truth[which], best.score_numbers(shuffled))

    names = [feature.name for feature in columns.features]
    return Verdict(
        models=tuple(models),
        baseline=evaluation.metrics(columns, truth, untaught, groups),
        importance=importances(names, numbers, loss, seed),
    )


def _answers(
    columns: Columns,
    holdout: pd.DataFrame,
    truth: NDArray[np.float64],
    scores: Scores,
    groups: NDArray[np.int64],
) -> pd.DataFrame:
    """A row per row of the hold-out, `row` as the table numbers it.

    `truth` and `predicted` are numbers, or names of classes; then `loss` is minus the logarithm
    of the probability that the true one was given, and `probability` that of the predicted one.
    """
    found = pd.DataFrame(
        {
            "row": holdout.index.to_numpy(),
            "group": groups,
            "truth": holdout[columns.target].to_numpy(),
            "predicted": named(scores, columns),
        }
    )
    if columns.task != "regression":
        found["loss"] = evaluation.row_losses(truth, scores)
        place = scores.predicted.astype(int)[:, None]
        found["probability"] = np.take_along_axis(scores.probabilities, place, axis=1)[:, 0]
    return found
