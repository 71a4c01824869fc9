"""What numbers were predicted for the rows held out, and how far off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.figures.labels import number
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, rgba

_HEIGHT = 320
MOST_POINTS = 2_000


def residuals_figure(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], theme: Theme = LIGHT
) -> dict[str, Any]:
    """True minus predicted over predicted, a point for each row; on the line it is right.

    Of many rows 2,000 are drawn, evenly spread in their order.
    """
    chosen = np.arange(len(truth))
    if len(truth) > MOST_POINTS:
        chosen = np.linspace(0, len(truth) - 1, MOST_POINTS).astype(int)
    x, off = predicted[chosen], (truth - predicted)[chosen]
    hovers = [
        f"predicted {number(p)}, true {number(p + r)}<br>off by {number(r)}"
        for p, r in zip(x.tolist(), off.tolist(), strict=True)
    ]
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "nticks": 6}
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": x.tolist(),
                "y": off.tolist(),
                "marker": {"color": rgba(theme.load, 0.5), "size": 6},
                "hovertext": hovers,
                "hovertemplate": "%{hovertext}<extra></extra>",
            }
        ],
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": {"l": 64, "r": 16, "t": 8, "b": 44},
            "xaxis": {**axis, "title": axis_title("predicted", 4)},
            "yaxis": {**axis, "title": axis_title("true − predicted", 8)},
            "shapes": [
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": 0,
                    "y1": 0,
                    "layer": "below",
                    "line": {"color": theme.faded, "width": 1},
                }
            ],
        },
    }
