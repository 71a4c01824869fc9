"""What came of a training, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from app.automl.holdout import confusion_of
from app.automl.order import Importance
from app.figures.theme import DARK, LIGHT, Theme
from app.figures.trainings.confusion import confusion_figure
from app.figures.trainings.importance import MOST_COLUMNS, importance_figure
from app.figures.trainings.residuals import MOST_POINTS, residuals_figure

CLASSES = ("no", "yes", "<b>")
COUNTS = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])


def cells(figure: dict[str, Any]) -> list[list[str]]:
    found: list[list[str]] = figure["data"][0]["hovertext"]
    return found


def test_the_hold_out_is_counted_by_class() -> None:
    holdout = pd.DataFrame(
        {
            "truth": ["no", "no", "yes", "never seen"],
            "predicted": ["no", "yes", "yes", "yes"],
        }
    )
    assert confusion_of(holdout, CLASSES).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_confusion_matrix_has_a_cell_for_each_pair(theme: Theme) -> None:
    figure = confusion_figure(COUNTS, CLASSES, theme)
    go.Figure(figure)
    assert figure["data"][0]["z"] == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert cells(figure)[0][1] == "no taken for yes<br>1 of 4 rows (25%)"
    assert cells(figure)[2][0] == "&lt;b&gt; taken for no<br>no row of it was held out"
    assert figure["data"][1]["text"][:2] == ["3", "1"]


def test_of_many_classes_no_counts_are_printed() -> None:
    many = tuple(map(str, range(64)))
    figure = confusion_figure(np.eye(64, dtype=np.int64), many)
    go.Figure(figure)
    assert len(figure["data"]) == 1
    assert len(figure["layout"]["xaxis"]["ticktext"]) <= 20


@pytest.mark.parametrize("rows", [3, MOST_POINTS + 1])
def test_residuals_are_true_minus_predicted(rows: int) -> None:
    truth = np.arange(rows, dtype=np.float64)
    figure = residuals_figure(truth, truth + 2)
    go.Figure(figure)
    points = figure["data"][0]
    assert len(points["x"]) == min(rows, MOST_POINTS)
    assert set(points["y"]) == {-2.0}
    assert points["hovertext"][0] == "predicted 2, true 0<br>off by -2"


def test_importance_shows_the_first_columns() -> None:
    found = [Importance(f"<{n}>", 1 / (n + 1), 0.01) for n in range(MOST_COLUMNS + 5)]
    figure = importance_figure(found, "regression")
    go.Figure(figure)
    assert figure["data"][0]["x"][:2] == [1, 0.5]
    assert figure["layout"]["yaxis"]["ticktext"][0] == "&lt;0&gt;"
    assert len(figure["data"][0]["x"]) == MOST_COLUMNS
    assert figure["layout"]["xaxis"]["title"]["text"] == "rise of the root mean square error"


def test_importance_of_nothing_is_an_empty_figure() -> None:
    go.Figure(importance_figure([], "binary"))
