"""The load heatmap: layer × expert, the share of the tokens that each expert took."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import layer_label, layer_place, layer_ticks
from app.figures.selection import Selection
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
from app.routing.metrics import expert_load
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_ROW_HEIGHT = 32
_PRINTED_EXPERTS = 16
# Below this width in pixels the figure scrolls inside its frame.
_LEAST_WIDTH = 440


def load_figure(
    trace: RoutingTrace,
    theme: Theme = LIGHT,
    selection: Selection | None = None,
    stack: Stack | None = None,
) -> dict[str, Any]:
    """Load f = n/(kT) of each expert in each router layer of a stack.

    One hue from the ground up. The scale is fixed: it ends at four times the uniform share
    1/N (or at 1), whatever the text, and marks 1/N.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    experts = max(layer.num_experts for layer in layers)
    loads = [expert_load(layer.experts, layer.num_experts) for layer in layers]
    rows = [np.pad(load, (0, experts - len(load)), constant_values=np.nan) for load in loads]
    uniform = 1 / experts
    ticks = layer_ticks(layers)
    places = [
        f"{layer_label(index)} ({layer_place(layer, layers)})" for index, layer in enumerate(layers)
    ]
    top = min(1.0, 4 * uniform)
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in rows],
                "zmin": 0,
                "zmax": top,
                "colorscale": [[0, theme.ground], [1, theme.load]],
                "xgap": 1,
                "ygap": 1,
                "hovertext": [
                    [
                        f"{place}, expert {expert}: {round(load * layer.experts.size)} of "
                        f"{layer.experts.size} assignments ({load:.1%})"
                        + (f"<br>{lost} of them dropped" if lost else "")
                        for expert, (load, lost) in enumerate(
                            zip(loads[index].tolist(), _lost(layer), strict=True)
                        )
                    ]
                    for index, (layer, place) in enumerate(zip(layers, places, strict=True))
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "colorbar": {
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickvals": [0, uniform, top],
                    "ticktext": [
                        "0",
                        f"1/N {uniform:.1%}",
                        f"{top:.0%}" + ("+" if top < 1 else ""),
                    ],
                    "ticks": "outside",
                },
            },
            *([_shares(loads, top, theme)] if experts <= _PRINTED_EXPERTS else []),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": _LEAST_WIDTH},
            "height": 40 + _ROW_HEIGHT * len(layers),
            "margin": {"l": max(64, 16 + 7 * max(map(len, ticks))), "r": 104, "t": 4, "b": 36},
            "xaxis": {
                **cell_axis([str(e) for e in range(experts)], every=thinned(experts, 16)),
                "title": axis_title("expert", 4),
            },
            "yaxis": cell_axis(ticks, reverse=True),
            "shapes": _frames(len(layers), experts, selection, theme),
        },
    }


def _lost(layer: RouterLayer) -> list[int]:
    """How many tokens each expert dropped."""
    lost = layer.experts[layer.dropped].ravel()
    counts: list[int] = np.bincount(lost, minlength=layer.num_experts).tolist()
    return counts


def _shares(loads: list[np.ndarray], top: float, theme: Theme) -> dict[str, Any]:
    return cell_texts(
        [[f"{share:.0%}" if share > 0 else "" for share in load] for load in loads],
        [
            [ink(mix(theme.ground, theme.load, min(1.0, share / top))) for share in load]
            for load in loads
        ],
    )


def _frames(
    layers: int, experts: int, selection: Selection | None, theme: Theme
) -> list[dict[str, Any]]:
    def frame(x: tuple[float, float], y: tuple[float, float], color: str, width: float) -> Any:
        line = {"color": color, "width": width}
        return {"type": "rect", "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1], "line": line}

    frames = [frame((-0.5, experts - 0.5), (-0.5, layers - 0.5), theme.rule, 1)]
    if selection is not None and selection.expert is not None and selection.layer is not None:
        e, la = selection.expert, selection.layer
        frames.append(frame((e - 0.5, e + 0.5), (la - 0.5, la + 0.5), theme.accent, 2))
    return frames
