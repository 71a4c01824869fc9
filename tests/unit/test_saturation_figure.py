"""Saturation over checkpoints as figure and words: true to the numbers, in both themes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
import pytest
from dash import no_update

from app.components import ids
from app.components.panel import HIDDEN, VISIBLE
from app.corpus.library import About, Pass
from app.corpus.order import Order, Progress
from app.corpus.saturation import LayerSaturation, Saturation
from app.corpus.saturations import Compared
from app.corpus.state import State
from app.figures.atlas.saturation import saturation_figure, saturation_summary
from app.figures.theme import DARK, LIGHT, Theme
from app.pages.experts.checkpoints import drawn


def made(*shares: float, chance: float = 0.125) -> Saturation:
    """Layers with these shares, each with its own chance level."""
    layers = [
        LayerSaturation(share, share - 0.051, share + 0.023, chance + 0.01 * index)
        for index, share in enumerate(shares)
    ]
    return Saturation(1200, 30, tuple(layers))


NAMES = ["step-1", "step-2", "step-3"]
FOUND = [made(0.3, 0.5), None, made(0.6, 0.8, chance=0.2)]


def lines(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if "markers" in trace["mode"]]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_layer_is_a_line_with_its_intervals(theme: Theme) -> None:
    figure = saturation_figure(NAMES, FOUND, theme, layer=0)
    go.Figure(figure)
    second, first = lines(figure)
    assert first["y"] == [0.3, None, 0.6]
    assert second["y"] == [0.5, None, 0.8]
    assert first["error_y"]["array"] == pytest.approx([0.023, 0, 0.023])
    assert first["error_y"]["arrayminus"] == pytest.approx([0.051, 0, 0.051])
    assert first["line"]["width"] > second["line"]["width"], "the chosen layer stands out"
    assert figure["layout"]["xaxis"]["ticktext"] == NAMES
    said = first["hovertext"][2]
    assert "step-3, layer 1<br>60.0% of the experts are the same (54.9–62.3)<br>" in said
    assert "<br>20.0% by chance<br>1,200 tokens of 30 documents" in said


def test_chance_is_a_band_over_the_layers_with_the_chosen_one_dotted() -> None:
    low, high, dotted = saturation_figure(NAMES, FOUND, LIGHT, layer=1)["data"][:3]
    assert low["y"] == pytest.approx([0.125, 0.125, 0.2, 0.2])
    assert high["y"] == dotted["y"] == pytest.approx([0.135, 0.135, 0.21, 0.21])
    assert dotted["line"]["dash"] == "dot"
    assert low["x"][0] < 0, "a single checkpoint has a level as well"


def test_names_of_layers_never_lie_on_each_other() -> None:
    for shares in ([0.99] * 12, [0.01] * 12, [0.5, 0.5, 0.1, 0.1], [1.0] * 64):
        labels = saturation_figure(["a"], [made(*shares)], LIGHT, 3)["layout"]["annotations"]
        assert len(labels) == (len(shares) if len(shares) <= 12 else 3)
        heights = [label["y"] for label in labels]
        assert all(above - below > 0.04 for above, below in pairwise(heights))
        assert heights[-1] > 0


def test_figures_of_nothing_and_of_one_document_are_valid() -> None:
    alone = Saturation(3, 1, (LayerSaturation(0.5, math.nan, math.nan, 0.25),))
    empty = Saturation(0, 0, (LayerSaturation(*[math.nan] * 4),))
    for found in ([], [None], [alone], [empty]):
        figure = saturation_figure([f"<b>{i}" for i in range(len(found))], found)
        go.Figure(figure)
        assert "<b>" not in "".join(figure["layout"]["xaxis"]["ticktext"])
    (line,) = lines(saturation_figure(["a"], [alone]))
    assert "without an interval" in line["hovertext"][0]


def test_long_names_keep_their_ends() -> None:
    names = [f"some/very-long-name@step{step}000" for step in range(60)]
    layout = saturation_figure(names, [made(0.5)] * 60)["layout"]
    assert layout["xaxis"]["ticktext"][1].endswith("step4000")
    assert len(layout["xaxis"]["tickvals"]) <= 24
    assert layout["meta"]["least_width"] > 60 * 20


def test_the_summary_names_the_first_and_the_last() -> None:
    assert saturation_summary(NAMES, FOUND) == (
        "Share of the same experts. Layer 1: 30.0% in step-1, 60.0% in step-3; "
        "Layer 2: 50.0% in step-1, 80.0% in step-3."
    )
    assert saturation_summary(["a"], [None]) == "No checkpoint is compared yet."


def a_pass(model: str) -> Pass:
    order = Order(("/some/where/my texts.csv",), "body", (), model, 77, "texts", True)
    about = About("ab" * 16, order, datetime.now(UTC), 10, {"revision": f"of {model}"})
    return Pass(about, State(finished=True), "finished", Progress(), digest="d")


def test_what_is_missing_is_said_with_the_command() -> None:
    figure, _, frame, summary, said, settled = drawn(a_pass("last"), [], 0, LIGHT)
    assert (figure, frame, summary, settled) == (no_update, HIDDEN, "", True)
    command = (
        "python -m app corpus &#x27;my texts.csv&#x27; --text body --max-tokens 77 --tokens "
        "--model step-100"
    )
    assert command in said[ids.CHECKPOINTS_SAID]
    assert "/some/where" not in said[ids.CHECKPOINTS_SAID]


def test_it_is_said_how_far_it_is_and_what_went_wrong() -> None:
    steps = [Compared(a_pass(name), outcome) for name, outcome in zip("abc", FOUND, strict=True)]
    steps[1] = Compared(a_pass("b"), done=0.42)
    _, _, frame, _, said, settled = drawn(a_pass("last"), steps, 0, LIGHT)
    assert frame == VISIBLE
    assert not settled
    assert "2 of 3 checkpoints are done, b to 42%" in said[ids.CHECKPOINTS_SAID]
    assert "Parquet" not in said[ids.CHECKPOINTS_TABLE]
    steps[1] = Compared(a_pass("b"), problem="the two passes read different tokens")
    _, _, _, _, said, settled = drawn(a_pass("last"), steps, 0, LIGHT)
    assert settled
    assert "b: the two passes read different tokens." in said[ids.CHECKPOINTS_SAID]
    assert "are done" not in said[ids.CHECKPOINTS_SAID]
    table = said[ids.CHECKPOINTS_TABLE]
    assert table.count("<tr>") == 1 + 4
    assert "<td>60.0%</td><td>54.9–62.3</td><td>20.0%</td><td>1,200</td><td>30</td>" in table
    assert f"/api/v1/corpora/{'ab' * 16}/checkpoints.csv" in table
