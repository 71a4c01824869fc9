"""The measures of two runs over relative depth, where their layers are not the same."""

from __future__ import annotations

import math
from typing import Any

from app.figures.definitions import MEASURES, Measure
from app.figures.labels import layer_label
from app.figures.theme import LIGHT, Theme, axis_title, base_layout
from app.routing.comparison import StackComparison, relative_depths

_SHOWN = ("load_cv", "load_entropy", "token_entropy", "confidence")
_HEIGHT = 220
_GAP = 0.06


def relative_figure(part: StackComparison, theme: Theme = LIGHT) -> dict[str, Any]:
    """A panel for each of four measures; a solid with dots, b dashed with squares.

    On the x axis 0 is where the stack begins and 1 where it ends. The scales begin at 0.
    """
    shown = [measure for key in _SHOWN for measure in MEASURES if measure.key == key]
    width = (1 - _GAP * (len(shown) - 1)) / len(shown)
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    titles: list[dict[str, Any]] = []
    for index, measure in enumerate(shown):
        number = "" if index == 0 else str(index + 1)
        start = index * (width + _GAP)
        values = _values(part, measure)
        most = max([v for side in values for v in side if not math.isnan(v)], default=1.0)
        axes[f"xaxis{number}"] = {
            **_axis(range=[0, 1], tickvals=[0, 0.5, 1], ticktext=["0", ".5", "1"]),
            "domain": [start, start + width],
            "anchor": f"y{number}",
            "title": axis_title("relative depth", 4),
        }
        axes[f"yaxis{number}"] = {
            **_axis(range=[0, max(most, 1e-9) * 1.12], nticks=4),
            "anchor": f"x{number}",
        }
        titles.append(_title(start, measure.title))
        for name, side, style in zip("ab", values, _styles(theme), strict=True):
            x = relative_depths(len(side)).tolist()
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers+text",
                    "x": x,
                    "y": [None if math.isnan(value) else value for value in side],
                    # Named where the line ends: not by colour alone.
                    "text": [*[""] * (len(side) - 1), f" {name}"],
                    "textposition": "middle right",
                    "textfont": {"color": style["line"]["color"]},
                    "xaxis": f"x{number}",
                    "yaxis": f"y{number}",
                    "hovertext": [
                        f"{name}, {layer_label(i).lower()} of {len(side)}<br>"
                        f"{measure.title} {measure.text(value)}"
                        for i, value in enumerate(side)
                    ],
                    "hovertemplate": "%{hovertext}<extra></extra>",
                    "cliponaxis": False,
                    **style,
                }
            )
    return {
        "data": data,
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": {"l": 40, "r": 24, "t": 28, "b": 44},
            **axes,
            "annotations": titles,
        },
    }


def _values(part: StackComparison, measure: Measure) -> tuple[list[float], list[float]]:
    """A measure of every layer of a, and of every layer of b."""
    found = [m for m in part.metrics if m.name == measure.key and m.layer is not None]
    pairs = list(zip(part.layers, found, strict=True))
    a = {layers.index_a: value.a for layers, value in pairs}
    b = {layers.index_b: value.b for layers, value in pairs}
    return [a[index] for index in sorted(a)], [b[index] for index in sorted(b)]


def _styles(theme: Theme) -> list[dict[str, Any]]:
    return [
        {
            "line": {"color": theme.load, "width": 2},
            "marker": {"color": theme.load, "size": 7},
        },
        {
            "line": {"color": theme.second, "width": 2, "dash": "dash"},
            "marker": {"color": theme.second, "size": 7, "symbol": "square"},
        },
    ]


def _axis(**changes: Any) -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": "", **changes}


def _title(x: float, text: str) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {**place, "x": x, "y": 1, "yshift": 6, "showarrow": False, "text": text}
