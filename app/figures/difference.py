"""What the load of two runs differs by: layer × expert, around zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.figures.labels import layer_label, layer_place, layer_ticks
from app.figures.theme import (
    LIGHT,
    Theme,
    axis_title,
    base_layout,
    cell_axis,
    cell_texts,
    ink,
    mix,
    thinned,
)
from app.routing.comparison import LayerComparison, StackComparison
from app.routing.metrics import expert_load
from app.routing.trace import RouterLayer

_ROW_HEIGHT = 32
_PRINTED_EXPERTS = 16


def difference_figure(part: StackComparison, theme: Theme = LIGHT) -> dict[str, Any] | None:
    """Load in b less that in a, of each expert in each router layer, in percentage points.

    The ground is no difference, blue is more in b, orange less. The scale is fixed and
    symmetric: it ends at twice the uniform share 1/N. None where expert numbers of the two
    are unrelated.
    """
    if part.relation == "other":
        return None
    layers = [each.a for each in part.layers]
    experts = max(layer.num_experts for layer in layers)
    top = min(1.0, 2 / experts)
    rows = [_difference(each) for each in part.layers]
    ticks = layer_ticks(layers)
    end = f"{100 * top:.3g}"
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [[*np.round(row, 4).tolist(), *[None] * (experts - len(row))] for row in rows],
                "zmin": -top,
                "zmax": top,
                "colorscale": [[0, theme.second], [0.5, theme.ground], [1, theme.load]],
                "xgap": 1,
                "ygap": 1,
                "hovertext": [
                    _hovers(each, layer_label(index), layers)
                    for index, each in enumerate(part.layers)
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "colorbar": {
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickvals": [-top, 0, top],
                    "ticktext": [f"−{end} less", "0", f"+{end} more"],
                    "ticks": "outside",
                },
            },
            *([_points(rows, top, theme)] if experts <= _PRINTED_EXPERTS else []),
        ],
        "layout": {
            **base_layout(theme),
            "height": 64 + _ROW_HEIGHT * len(layers),
            "margin": {"l": max(64, 16 + 7 * max(map(len, ticks))), "r": 96, "t": 12, "b": 40},
            "xaxis": {
                **cell_axis([str(e) for e in range(experts)], every=thinned(experts, 16)),
                "title": axis_title("expert", 4),
            },
            "yaxis": cell_axis(ticks, reverse=True),
            "shapes": [
                {
                    "type": "rect",
                    "x0": -0.5,
                    "x1": experts - 0.5,
                    "y0": -0.5,
                    "y1": len(layers) - 0.5,
                    "line": {"color": theme.rule, "width": 1},
                }
            ],
        },
    }


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign; empty for none."""
    text = (
        f"{abs(100 * difference):.0f}"
        if abs(difference) >= 0.0095
        else f"{abs(100 * difference):.1f}"
    )
    if float(text) == 0:
        return "" if difference == 0 else "±0"
    return ("+" if difference > 0 else "−") + text


def _difference(each: LayerComparison) -> NDArray[np.float64]:
    assert each.load_difference is not None
    return each.load_difference


def _hovers(each: LayerComparison, name: str, layers: list[RouterLayer]) -> list[str]:
    place = f"{name} ({layer_place(each.a, layers)})"
    loads = [expert_load(layer.experts, layer.num_experts).tolist() for layer in (each.a, each.b)]
    sizes = [layer.experts.size for layer in (each.a, each.b)]
    return [
        f"{place}, expert {expert}<br>"
        f"a: {a:.1%}, {round(a * sizes[0])} of {sizes[0]} assignments<br>"
        f"b: {b:.1%}, {round(b * sizes[1])} of {sizes[1]}<br>"
        f"b − a: {points(b - a) or '0'} points"
        for expert, (a, b) in enumerate(zip(*loads, strict=True))
    ]


def _points(rows: list[NDArray[np.float64]], top: float, theme: Theme) -> dict[str, Any]:
    def fill(value: float) -> str:
        hue = theme.load if value > 0 else theme.second
        return mix(theme.ground, hue, min(1.0, abs(value) / top))

    return cell_texts(
        [[points(value) for value in row.tolist()] for row in rows],
        [[ink(fill(value)) for value in row.tolist()] for row in rows],
    )
