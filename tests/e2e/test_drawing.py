"""The page's own drawing of a figure, held against Plotly's of the same figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.figures.flow import flow_figure
from app.figures.grid import grid_figure
from app.figures.load import load_figure
from app.figures.selection import Selection
from app.figures.theme import DARK
from tests.e2e.conftest import Visitor
from tests.unit.test_figures_kinds import routed

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
WIDTH = 800
CASES: dict[str, dict[str, Any]] = {
    "plain": {"trace": routed(9)},
    "dropped, generated": {"trace": routed(14, k=2, drops=0.4, generated=3), "theme": DARK},
    "selected": {"trace": routed(12), "selection": Selection(token=3, layer=1)},
    "many": {"trace": routed(40, layers=12, experts=64, k=4)},
}
FIGURES = (flow_figure, grid_figure, load_figure)
# Draws a figure both ways, one below the other; gives the words with their middles and colours,
# and the colours of the areas.
_BOTH = """async ([figure, width]) => {
    const copy = () => JSON.parse(JSON.stringify(figure));
    const make = (name) => {
        const place = document.querySelector("main").appendChild(document.createElement("div"));
        place.className = name;
        place.style.width = `${width}px`;
        return place;
    };
    const [ours, theirs] = [make("drawing"), make("")];
    window.moescope.draw(ours, copy());
    const { data, layout } = copy();
    const plotly = await window.Plotly;
    await plotly.newPlot(theirs, data, { width, ...layout }, { displayModeBar: false });
    const shade = ({ fill, fillOpacity, opacity }) => {
        const [r, g, b, alpha] = fill.match(/[\\d.]+/g).map(Number);
        return [r, g, b, ((alpha ?? 1) * fillOpacity * opacity).toFixed(2)].join(" ");
    };
    const found = [ours, theirs].map((place) => {
        const from = place.getBoundingClientRect();
        const words = [...place.querySelectorAll("text")].flatMap((text) => {
            const { fill } = getComputedStyle(text);
            // Letters with a place each are texts of their own.
            if (text.x.baseVal.numberOfItems > 1)
                return [...text.textContent].map((letter, i) => {
                    const { x, y, width, height } = text.getExtentOfChar(i);
                    return [letter, x + width / 2, y + height / 2, fill];
                });
            const box = text.getBoundingClientRect();
            const x = box.left + box.width / 2 - from.left, y = box.top + box.height / 2 - from.top;
            return [[text.textContent.trim(), x, y, fill]];
        }).filter(([text]) => text);
        const fills = [...place.querySelectorAll("path")]
            .map((path) => getComputedStyle(path)).filter(({ fill }) => fill !== "none").map(shade);
        return { words, fills };
    });
    ours.remove();
    plotly.purge(theirs);
    theirs.remove();
    return found;
}"""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_drawn_as_plotly_draws_it(visit: Visit, draw: Any, case: str) -> None:
    visitor = visit()
    page = visitor.open()
    ours, theirs = page.evaluate(_BOTH, [draw(**CASES[case]), WIDTH])
    # Plotly writes the lines of a text as one; nothing else may differ.
    said = [sorted(word for word, *_ in each["words"]) for each in (ours, theirs)]
    assert sorted("".join(said[0])) == sorted("".join(said[1]))
    # Beside a heatmap Plotly makes room for the scale's labels by itself.
    across = 3 if draw is not load_figure else 30
    matched = 0
    for word, x, y, color in ours["words"]:
        near = [
            (abs(x - left) + abs(y - top), tint)
            for other, left, top, tint in theirs["words"]
            if other == word and abs(x - left) <= across and abs(y - top) <= 3 + across // 4
        ]
        if near:
            matched += 1
            assert min(near)[1] == color, word
    lines = sum(word not in said[1] for word in said[0])
    assert matched == len(ours["words"]) - lines
    if draw is flow_figure:  # cells Plotly draws as one picture
        assert set(ours["fills"]) <= set(theirs["fills"])
