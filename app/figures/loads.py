"""The load of all router layers side by side, two of them emphasised."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import layer_label, layer_ticks
from app.figures.theme import LIGHT, Theme, base_layout, rgba
from app.routing.metrics import expert_load
from app.routing.trace import RoutingTrace, Stack

_COLUMNS = 12
_ROW_HEIGHT = 104
_MARGIN = {"l": 40, "r": 8, "t": 8, "b": 8}
# Of a row's height: bars, and above them the heading.
_BARS = 0.72
_WIDE = 0.86


def loads_figure(
    trace: RoutingTrace, a: int, b: int, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any]:
    """A small profile of bars per layer, expert 0 on the left; all have one scale.

    The layers `a` and `b` (indices from 0) are in colour and named in bold, the others grey.
    Dotted is 1/N. Experts are sorted by their number, which means nothing between layers.
    `customdata` of a point is the selection of that expert.
    """
    layers = trace.stack_layers(stack or trace.stacks[0])
    loads = [expert_load(layer.experts, layer.num_experts) for layer in layers]
    columns = min(_COLUMNS, len(layers))
    rows = -(-len(layers) // columns)
    top = max(float(load.max()) for load in loads)
    top = next((end for end in (0.05, 0.1, 0.25, 0.5) if top <= end), 1.0)
    colors = {a: theme.load, b: theme.second}
    paths: dict[str, list[str]] = {}
    chance: list[str] = []
    headings = []
    hover: dict[str, list[Any]] = {"x": [], "y": [], "hovertext": [], "customdata": []}
    for index, (name, load) in enumerate(zip(layer_ticks(layers), loads, strict=True)):
        row, column = divmod(index, columns)
        ground = row + 1 - 0.06
        width = _WIDE / len(load)
        left = column + (1 - _WIDE) / 2
        color = colors.get(index, rgba(theme.faded, 0.7))
        for expert in np.flatnonzero(load).tolist():
            x0, height = left + expert * width, load[expert] / top * _BARS
            paths.setdefault(color, []).append(
                f"M{x0 + width * 0.06:.4f},{ground:g}V{ground - height:.4f}"
                f"H{x0 + width * 0.94:.4f}V{ground:g}Z"
            )
        level = ground - _BARS / len(load) / top
        chance.append(f"M{left:.3f},{level:.4f}H{left + _WIDE:.3f}")
        headings.append(_heading(left, ground - _BARS - 0.02, name, index in colors, theme))
        for expert, share in enumerate(load.tolist()):
            hover["x"].append(round(left + (expert + 0.5) * width, 4))
            hover["y"].append(round(ground - max(share / top * _BARS / 2, 0.04), 4))
            hover["hovertext"].append(
                f"{layer_label(index)}, expert {expert}: {share:.1%} of the choices"
                f"<br>balance is {1 / len(load):.1%}"
            )
            hover["customdata"].append({"layer": index, "expert": expert})
    dotted = {"color": theme.muted, "width": 1, "dash": "dot"}
    base = "".join(
        f"M{column + (1 - _WIDE) / 2:.3f},{row + 0.94:g}H{column + (1 + _WIDE) / 2:.3f}"
        for row in range(rows)
        for column in range(columns)
        if row * columns + column < len(layers)
    )
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "none",
                **hover,
                "hovertemplate": "%{hovertext}<extra></extra>",
            }
        ],
        "layout": {
            **base_layout(theme),
            "hoverdistance": 30,
            "height": rows * _ROW_HEIGHT + _MARGIN["t"] + _MARGIN["b"],
            "margin": _MARGIN,
            "xaxis": {"range": [0, columns], "visible": False, "fixedrange": True},
            "yaxis": {
                "range": [rows, 0],
                "tickvals": [row + end for row in range(rows) for end in (0.94 - _BARS, 0.94)],
                "ticktext": [f"{top:.0%}", "0"] * rows,
                "tickfont": {"size": 10, "color": theme.muted},
                "showgrid": False,
                "zeroline": False,
                "fixedrange": True,
            },
            "shapes": [
                {"type": "path", "path": base, "line": {"color": theme.rule, "width": 1}},
                *(
                    {
                        "type": "path",
                        "path": "".join(parts),
                        "fillcolor": fill,
                        "line": {"width": 0},
                    }
                    for fill, parts in paths.items()
                ),
                {"type": "path", "path": "".join(chance), "line": dotted},
            ],
            "annotations": headings,
        },
    }


def _heading(x: float, y: float, name: str, chosen: bool, theme: Theme) -> dict[str, Any]:
    return {
        "x": x,
        "y": y,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"<b>{name}</b>" if chosen else name,
        "font": {"size": 11, "color": theme.text if chosen else theme.muted},
    }
