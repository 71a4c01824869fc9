"""The loads of one layer in two passes, expert by expert."""

from __future__ import annotations

import math
from typing import Any

from app.corpus.atlas.experts import Estimate
from app.figures.atlas.words import interval, share
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, thinned

_HEIGHT = 220
_APART = 0.12


def two_loads_figure(a: Estimate, b: Estimate, theme: Theme = LIGHT) -> dict[str, Any]:
    """Load with its interval of each expert; a are dots, b squares, dotted is 1/N.

    Where the numbers of experts differ, each has its own in its colour.
    """
    experts = max(len(a.value), len(b.value))
    balance = {len(a.value): theme.load, len(b.value): theme.second}
    if len(balance) == 1:
        balance = {experts: theme.muted}
    ends = [end for each in (a, b) for end in (*each.value, *each.high) if not math.isnan(end)]
    return {
        "data": [
            _points(a, -_APART, "a", theme.load, "circle"),
            _points(b, _APART, "b", theme.second, "square"),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": max(320, 64 + 10 * experts)},
            "height": _HEIGHT,
            "margin": {"l": 48, "r": 16, "t": 8, "b": 44},
            "showlegend": True,
            "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
            "xaxis": {
                **_axis(),
                "range": [-0.6, experts - 0.4],
                "tickvals": list(range(0, experts, thinned(experts, 32))),
                "title": axis_title("expert", 4),
            },
            "yaxis": {
                **_axis(),
                "range": [0, max([1 / min(balance), *ends]) * 1.08],
                "tickformat": ".0%",
                "nticks": 5,
            },
            "shapes": [
                {
                    "type": "line",
                    "x0": -0.6,
                    "x1": own - 0.4,
                    "y0": 1 / own,
                    "y1": 1 / own,
                    "line": {"color": color, "width": 1, "dash": "dot"},
                }
                for own, color in balance.items()
            ],
        },
    }


def _points(found: Estimate, shift: float, name: str, color: str, symbol: str) -> dict[str, Any]:
    values = list(zip(found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [expert + shift for expert in range(len(values))],
        "y": [None if math.isnan(value) else value for value, _, _ in values],
        "marker": {"color": color, "size": 7, "symbol": symbol},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_length(high - value) for value, _, high in values],
            "arrayminus": [_length(value - low) for value, low, _ in values],
            "color": color,
            "thickness": 1,
            "width": 3,
        },
        "hovertext": [
            f"{name}, expert {expert}<br>load {share(value)} {interval(low, high, 100)}"
            for expert, (value, low, high) in enumerate(values)
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else max(value, 0.0)


def _axis() -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}
