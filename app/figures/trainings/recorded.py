"""The figures that the run of a training holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from app.automl.holdout import confusion_of
from app.automl.library import Training
from app.figures.theme import LIGHT, Theme
from app.figures.trainings.confusion import confusion_figure
from app.figures.trainings.importance import importance_figure
from app.figures.trainings.residuals import residuals_figure


def training_figures(
    found: Training, holdout: pd.DataFrame, theme: Theme = LIGHT
) -> dict[str, dict[str, Any]]:
    """By name: `confusion` or `residuals`, and `importance`; none before there is a result."""
    if found.result is None:
        return {}
    columns, importance = found.result.columns, found.result.importance
    figures = {"importance": importance_figure(importance, columns.task, theme)}
    if columns.task == "regression":
        truth, predicted = (
            holdout[name].to_numpy(dtype=np.float64) for name in ("truth", "predicted")
        )
        figures["residuals"] = residuals_figure(truth, predicted, theme)
    else:
        counts = confusion_of(holdout, columns.classes)
        figures["confusion"] = confusion_figure(counts, columns.classes, theme)
    return figures
