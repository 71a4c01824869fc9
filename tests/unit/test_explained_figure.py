"""How much of a router the surface of tokens tells, as a figure over its layers."""

from __future__ import annotations

import plotly.graph_objects as go

from app.figures.theme import DARK
from app.figures.trainings.explained import Explained, explained_figure


def layer(number: int, accuracy: float) -> Explained:
    best = {"accuracy": accuracy, "log_loss": 1 - accuracy}
    for name in ("accuracy", "log_loss"):
        best |= {f"{name}_low": best[name] - 0.1, f"{name}_high": best[name] + 0.05}
    return Explained(number, f"layer {number}", best, {"accuracy": 0.2, "log_loss": 2.0})


def test_each_layer_stands_beside_what_its_load_alone_tells() -> None:
    figure = explained_figure([layer(0, 0.9), layer(2, 0.6)])
    shown = go.Figure(figure)
    majority, accuracy, entropy, loss = shown.data
    assert list(accuracy.x) == [0, 2]
    assert list(accuracy.y) == [0.9, 0.6]
    assert list(majority.y) == [0.2, 0.2]
    assert list(entropy.y) == [2.0, 2.0]
    assert [round(each, 3) for each in loss.y] == [0.1, 0.4]
    assert [round(each, 3) for each in accuracy.error_y.array] == [0.05, 0.05]
    assert [round(each, 3) for each in accuracy.error_y.arrayminus] == [0.1, 0.1]
    assert list(shown.layout.xaxis.ticktext) == ["1", "3"]
    assert "95 %: 0.80 to 0.95" in accuracy.hovertext[0]
    assert "layer 2" in majority.hovertext[1]


def test_a_single_layer_and_none_can_be_drawn() -> None:
    assert len(go.Figure(explained_figure([layer(3, 0.5)], DARK)).data) == 4
    assert len(go.Figure(explained_figure([])).data) == 4
