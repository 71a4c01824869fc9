"""Which experts of a layer take the same tokens."""

from __future__ import annotations

import math
from typing import Any

from app.corpus.atlas.seriation import seriated
from app.corpus.counting.layout import Floats
from app.figures.labels import number
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, cell_axis, thinned

_LEAST, _MOST = 240, 560
_CELL = 28


def similarity_figure(distances: Floats, theme: Theme = LIGHT) -> dict[str, Any]:
    """Jensen–Shannon distance of the experts' token distributions, float64 [E, E].

    Strong is alike: 0 for the same tokens; the ground is 1, none in common. Experts are ordered
    so that the alike stand together. The scale is fixed.
    """
    order = seriated(distances).tolist()
    names = [str(expert) for expert in order]
    every = thinned(len(names), 24)
    side = min(max(_CELL * len(names), _LEAST), _MOST)
    rows = [[float(distances[a, b]) for b in order] for a in order]
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [[None if math.isnan(v) else round(v, 3) for v in row] for row in rows],
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, theme.load], [1, theme.ground]],
                "hovertext": [
                    [
                        f"experts {a} and {b}<br>distance {number(value)}"
                        if not math.isnan(value)
                        else f"experts {a} and {b}<br>undefined: one has no token"
                        for b, value in zip(order, row, strict=True)
                    ]
                    for a, row in zip(order, rows, strict=True)
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "hoverongaps": True,
                "colorbar": {
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickvals": [0, 0.5, 1],
                    "ticktext": ["0 same", ".5", "1 none"],
                    "ticks": "outside",
                },
            }
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": 360},
            "height": side + 48,
            "margin": {"l": 48, "r": 80, "t": 8, "b": 40},
            "xaxis": {**cell_axis(names, every=every), "title": axis_title("expert", 4)},
            "yaxis": {
                **cell_axis(names, reverse=True, every=every),
                "title": axis_title("expert", 4),
            },
            "shapes": [
                {
                    "type": "rect",
                    "x0": -0.5,
                    "x1": len(names) - 0.5,
                    "y0": -0.5,
                    "y1": len(names) - 0.5,
                    "line": {"color": theme.rule, "width": 1},
                }
            ],
        },
    }
