"""All measures of the router layers as small multiples over depth."""

from __future__ import annotations

import math
from typing import Any

from app.figures.definitions import MEASURES, Measure, Values, stack_values, why_undefined
from app.figures.labels import count_of, layer_label, layer_place, span
from app.figures.theme import LIGHT, Theme, base_layout, thinned
from app.routing.trace import RouterLayer, RoutingTrace, Stack

__all__ = ["MEASURES", "Measure", "measures_figure", "stack_values"]

_COLUMNS = 3
_ROW_HEIGHT = 118


def measures_figure(
    trace: RoutingTrace, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any]:
    """One small chart per measure, router layers from left to right, reference dotted.

    A layer without a value has a hollow mark on the ground line that says why.
    """
    layers = trace.stack_layers(stack or trace.stacks[0])
    values = stack_values(layers)
    rows = -(-len(MEASURES) // _COLUMNS)
    every = thinned(len(layers), 12)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        **base_layout(theme),
        "height": _ROW_HEIGHT * rows + 20,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 24},
        "annotations": [],
    }
    for index, measure in enumerate(MEASURES):
        name = "" if index == 0 else str(index + 1)
        row, column = divmod(index, _COLUMNS)
        x = [column / _COLUMNS + 0.02, (column + 1) / _COLUMNS - 0.02]
        y = [1 - (row + 1) / rows + 16 / _ROW_HEIGHT / rows, 1 - (row + 0.36) / rows]
        axes = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
        data += [{**part, **axes} for part in _lines(measure, layers, values, theme)]
        layout[f"xaxis{name}"] = {
            "domain": x,
            "anchor": f"y{name}",
            "range": [0.7, len(layers) + 0.3],
            "tickvals": list(range(1, len(layers) + 1, every)),
            "tickfont": {"size": 10, "color": theme.muted},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        }
        layout[f"yaxis{name}"] = {
            "domain": y,
            "anchor": f"x{name}",
            "range": [0, measure.top(layers, values)],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": True,
            "zerolinecolor": theme.rule,
            "fixedrange": True,
        }
        layout["annotations"].append(_title(measure, values, x[0], y[1]))
    layout["annotations"].append(_sizes(layers, theme))
    return {"data": data, "layout": layout}


def _lines(
    measure: Measure, layers: tuple[RouterLayer, ...], values: Values, theme: Theme
) -> list[dict[str, Any]]:
    depth = list(range(1, len(layers) + 1))
    points = values[measure.key]
    levels = measure.levels(layers, values)
    names = [f"{layer_label(i)} ({layer_place(la, layers)})" for i, la in enumerate(layers)]
    unit = f" {measure.unit}" if measure.unit else ""
    texts = []
    for index, (name, point, layer) in enumerate(zip(names, points, layers, strict=True)):
        value = f"{measure.title} {measure.text(point)}{unit}"
        if math.isnan(point):
            texts.append(f"{name}: {value}<br>{why_undefined(measure, index)}")
            continue
        exact = f"<br>exactly {point:.6g}, n = {measure.n(layer)}"
        level = f"<br>dotted: {measure.text(levels[index])}" if levels else ""
        texts.append(f"{name}: {value}{exact}{level}")
    gaps = [index for index, point in enumerate(points) if math.isnan(point)]
    line = {"type": "scatter", "x": depth, "cliponaxis": False}
    dotted = {"color": theme.muted, "width": 1, "dash": "dot"}
    return [
        {**line, "mode": "lines", "y": _json(levels), "line": dotted, "hoverinfo": "skip"},
        {
            **line,
            "mode": "lines+markers",
            "y": _json(points),
            "hovertext": texts,
            "hovertemplate": "%{hovertext}<extra></extra>",
            "line": {"color": theme.load, "width": 2},
            "marker": {"color": theme.load, "size": 6},
        },
        {
            **line,
            "mode": "markers",
            "x": [depth[index] for index in gaps],
            "y": [0] * len(gaps),
            "hovertext": [texts[index] for index in gaps],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": {"color": theme.muted, "size": 6, "symbol": "circle-open"},
        },
    ]


def _json(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _sizes(layers: tuple[RouterLayer, ...], theme: Theme) -> dict[str, Any]:
    """What the numbers rest on: tokens, experts, and how many of them a token gets."""
    experts, chosen = (
        span([str(size) for size in sorted(sizes)])
        for sizes in ({la.num_experts for la in layers}, {la.top_k for la in layers})
    )
    tokens = count_of(len(layers[0].logits), "token")
    return {
        **_PAPER,
        "x": 0.02,
        "y": 0,
        "yshift": -8,
        "yanchor": "top",
        "text": f"n = {tokens}, N = {experts} experts, k = {chosen}",
        "font": {"color": theme.muted, "size": 11},
    }


_PAPER = {"xref": "paper", "yref": "paper", "xanchor": "left", "showarrow": False}


def _title(measure: Measure, values: Values, x: float, y: float) -> dict[str, Any]:
    unit = f" {measure.unit}" if measure.unit else ""
    text = f"{measure.title}<br><b>{measure.range_text(values[measure.key])}</b>{unit}"
    return {**_PAPER, "x": x, "y": y, "yanchor": "bottom", "align": "left", "text": text}
