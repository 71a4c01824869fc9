"""What successive router layers have to do with each other, over depth."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from app.figures.labels import layer_label, number
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, rgba, thinned
from app.routing.metrics import (
    TransitionInformation,
    expert_load,
    jensen_shannon,
    transition_information,
)
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_HEIGHT = 260


def depth_figure(
    trace: RoutingTrace, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any]:
    """Transition information from each layer to the next, and the distance of their loads.

    The information stands over its null: dotted the mean over shuffled tokens, the band
    ends where 95 % of them do. A single layer leaves both empty and a line says why.
    """
    layers = trace.stack_layers(stack or trace.stacks[0])
    steps = list(pairwise(layers))
    found = [information(before, after) for before, after in steps]
    distances = [load_distance(before, after) for before, after in steps]
    bits = [each.bits for each in found]
    x = list(range(2, len(layers) + 1))
    names = [f"{layer_label(i).lower()} → {layer_label(i + 1).lower()}" for i in range(len(steps))]
    return {
        "data": [
            {**_line(x, [each.null_95 for each in found], "y"), **_band(theme)},
            {**_line(x, [each.null_mean for each in found], "y"), **_dotted(theme)},
            {
                **_line(x, bits, "y"),
                **_strong(theme.load),
                "hovertext": [_hover(name, each) for name, each in zip(names, found, strict=True)],
            },
            {
                **_line(x, distances, "y2"),
                **_strong(theme.second),
                "hovertext": [
                    f"{name}<br>distance of the loads {number(value)} bits"
                    for name, value in zip(names, distances, strict=True)
                ],
            },
        ],
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": {"l": 40, "r": 8, "t": 24, "b": 40},
            "xaxis": _axis(
                range=[1.7, max(len(layers), 2) + 0.3],
                tickvals=x[:: thinned(len(x), 16)],
                title=axis_title("layer, compared with the one before", 4),
                anchor="y2",
            ),
            "yaxis": _axis(
                domain=[0.56, 1], range=[0, _top(bits, [each.null_95 for each in found])], nticks=4
            ),
            "yaxis2": _axis(
                domain=[0, 0.36], range=[0, max([*_finite(distances), 0.5]) * 1.08], nticks=3
            ),
            "annotations": [
                _title(1, "transition information, bits (dotted: shuffled, band: 95 % of them)"),
                _title(0.36, "distance of the loads, bits (Jensen–Shannon)"),
                *([] if steps else [_only(theme)]),
            ],
        },
    }


def information(before: RouterLayer, after: RouterLayer) -> TransitionInformation:
    """Transition information between two layers of one stack, with its null."""
    return transition_information(
        before.experts, after.experts, before.num_experts, num_to=after.num_experts
    )


def load_distance(a: RouterLayer, b: RouterLayer) -> float:
    """Jensen–Shannon divergence of two layers' loads in bits, NaN where N differs."""
    if a.num_experts != b.num_experts:
        return math.nan
    loads = (expert_load(layer.experts, layer.num_experts) for layer in (a, b))
    return float(jensen_shannon(*loads))


def _hover(name: str, found: TransitionInformation) -> str:
    if math.isnan(found.bits):
        return f"{name}<br>undefined: one token can't be shuffled"
    return (
        f"{name}<br>{number(found.bits)} bits of {found.n} tokens"
        f"<br>shuffled: {number(found.null_mean)} on average, 95 % below {number(found.null_95)}"
    )


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _top(*many: list[float]) -> float:
    return max([0.5, *(value for values in many for value in _finite(values))]) * 1.08


def _line(x: list[int], y: list[float], axis: str) -> dict[str, Any]:
    values = [None if math.isnan(value) else value for value in y]
    return {"type": "scatter", "x": x, "y": values, "xaxis": "x", "yaxis": axis}


def _band(theme: Theme) -> dict[str, Any]:
    return {
        "mode": "lines",
        "fill": "tozeroy",
        "fillcolor": rgba(theme.muted, 0.16),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _dotted(theme: Theme) -> dict[str, Any]:
    line = {"color": theme.muted, "width": 1, "dash": "dot"}
    return {"mode": "lines+markers", "line": line, "marker": {"size": 2}, "hoverinfo": "skip"}


def _strong(color: str) -> dict[str, Any]:
    return {
        "mode": "lines+markers",
        "line": {"color": color, "width": 2},
        "marker": {"color": color, "size": 7},
        "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }


def _axis(**changes: Any) -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": "", **changes}


def _title(y: float, text: str) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom"}
    return {**place, "y": y, "yshift": 4, "showarrow": False, "text": text}


def _only(theme: Theme) -> dict[str, Any]:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.75,
        "showarrow": False,
        "text": "one router layer: there is none to compare it with",
        "font": {"color": theme.muted},
    }
