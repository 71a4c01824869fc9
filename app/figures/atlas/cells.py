"""What heatmaps over the experts of a layer share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.figures.theme import Theme, axis_title, cell_axis, thinned


def over_experts(names: Sequence[str], experts: int, theme: Theme) -> dict[str, Any]:
    """Axes and frame, as parts of a layout: named rows downwards, experts across."""
    return {
        "xaxis": {
            **cell_axis([str(e) for e in range(experts)], every=thinned(experts, 32)),
            "title": axis_title("expert", 4),
        },
        "yaxis": cell_axis(names, reverse=True),
        "shapes": [
            {
                "type": "rect",
                "x0": -0.5,
                "x1": experts - 0.5,
                "y0": -0.5,
                "y1": len(names) - 0.5,
                "line": {"color": theme.rule, "width": 1},
            }
        ],
    }
