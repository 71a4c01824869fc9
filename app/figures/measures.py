"""Measures of each router layer as small multiples over depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.figures.labels import layer_label
from app.figures.theme import LIGHT, Theme, base_layout
from app.routing.metrics import layer_metrics
from app.routing.trace import RouterLayer, RoutingTrace, Stack


@dataclass(frozen=True)
class Measure:
    """A measure as it is shown: name, definition, and what chance alone would give."""

    key: str
    title: str
    definition: str
    reference: Callable[[RouterLayer], float] | None
    reference_text: str


def _random_cv(layer: RouterLayer) -> float:
    return float(np.sqrt((layer.num_experts - 1) / layer.experts.size))


def _random_active(layer: RouterLayer) -> float:
    return float(layer.num_experts * (1 - (1 - 1 / layer.num_experts) ** layer.experts.size))


MEASURES = (
    Measure(
        "load_cv",
        "load CV",
        "σ(f)/μ(f) of the load f over experts, population σ; 0 is balance.",
        _random_cv,
        "√((N−1)/(kT)), a router that chooses uniformly at random",
    ),
    Measure(
        "load_entropy",
        "load entropy",
        "H(f)/log N; 1 is balance, 0 one expert for all tokens.",
        lambda _layer: 1.0,
        "1, perfect balance",
    ),
    Measure(
        "active_experts",
        "active experts",
        "How many of the N experts took at least one token.",
        _random_active,
        "N(1−(1−1/N)^(kT)), a router that chooses uniformly at random",
    ),
    Measure(
        "confidence",
        "confidence",
        "Mean over tokens of the largest router probability.",
        lambda layer: 1 / layer.num_experts,
        "1/N, an undecided router",
    ),
    Measure(
        "token_entropy",
        "router entropy",
        "Mean over tokens of H(p)/log N; 0 is certain, 1 undecided.",
        lambda _layer: 1.0,
        "1, an undecided router",
    ),
    Measure(
        "dropped",
        "dropped tokens",
        "Tokens that the expert capacity left unprocessed.",
        None,
        "none",
    ),
)
_COLUMNS = 3


def measures_figure(
    trace: RoutingTrace, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any]:
    """One small chart per measure, router layers from left to right, chance level dotted."""
    layers = trace.stack_layers(stack or trace.stacks[0])
    values = [layer_metrics(layer) for layer in layers]
    depth = list(range(1, len(layers) + 1))
    hover = [layer_label(index) for index in range(len(layers))]
    rows = -(-len(MEASURES) // _COLUMNS)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        **base_layout(theme),
        "height": 110 * rows + 20,
        "margin": {"l": 8, "r": 8, "t": 16, "b": 24},
        "annotations": [],
    }
    for index, measure in enumerate(MEASURES):
        number = "" if index == 0 else str(index + 1)
        row, column = divmod(index, _COLUMNS)
        x = [column / _COLUMNS + 0.02, (column + 1) / _COLUMNS - 0.02]
        y = [1 - (row + 1) / rows + 0.16, 1 - row / rows - 0.06]
        points = [value[measure.key] for value in values]
        reference = [measure.reference(layer) for layer in layers] if measure.reference else []
        highest = max([*_finite(points), *_finite(reference), 1.0])
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        if reference:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": depth,
                    "y": reference,
                    "line": {"color": theme.muted, "width": 1, "dash": "dot"},
                    "hoverinfo": "skip",
                    **axes,
                }
            )
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": depth,
                "y": [None if np.isnan(v) else v for v in points],
                "text": hover,
                "hovertemplate": f"%{{text}}: {measure.title} %{{y:.4g}}<extra></extra>",
                "line": {"color": theme.load, "width": 2},
                "marker": {"color": theme.load, "size": 6},
                "cliponaxis": False,
                **axes,
            }
        )
        layout[f"xaxis{number}"] = {
            "domain": x,
            "anchor": f"y{number}",
            "range": [0.7, len(layers) + 0.3],
            "tickvals": depth,
            "tickfont": {"size": 10, "color": theme.muted},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        }
        layout[f"yaxis{number}"] = {
            "domain": y,
            "anchor": f"x{number}",
            "range": [0, highest * 1.08],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": True,
            "zerolinecolor": theme.rule,
            "fixedrange": True,
        }
        layout["annotations"].append(_title(measure, points, x[0], y[1]))
    layout["annotations"].append(_sizes(layers, theme))
    return {"data": data, "layout": layout}


def _sizes(layers: tuple[RouterLayer, ...], theme: Theme) -> dict[str, Any]:
    """What the numbers rest on: tokens, experts, and how many of them a token gets."""
    experts = "–".join(str(n) for n in sorted({layer.num_experts for layer in layers}))
    text = f"n = {len(layers[0].logits)} tokens, N = {experts} experts, k = {layers[0].top_k}"
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0.02,
        "y": 0,
        "yshift": -6,
        "xanchor": "left",
        "yanchor": "top",
        "showarrow": False,
        "text": text,
        "font": {"color": theme.muted, "size": 11},
    }


def _title(measure: Measure, points: list[float], x: float, y: float) -> dict[str, Any]:
    finite = _finite(points)
    span = "undefined"
    if finite:
        low, high = f"{min(finite):.2g}", f"{max(finite):.2g}"
        span = low if low == high else f"{low} to {high}"
    return {
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": y,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"{measure.title} <b>{span}</b>",
    }


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if not np.isnan(value)]
