"""What a model's answers rest on: how much worse they are with a column shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.automl.order import Importance
from app.figures.labels import number, token_label
from app.figures.theme import LIGHT, Theme, axis_title, base_layout

MOST_COLUMNS = 30
_LONGEST = 24
_ROW_HEIGHT = 22
# What is to be small, by the task.
_LOSSES = {"regression": "root mean square error"}


def importance_figure(
    found: Sequence[Importance], task: str, theme: Theme = LIGHT
) -> dict[str, Any]:
    """The rise of the loss on the rows held out, a bar for each column with the standard deviation
    of its shuffles, the most important first; of many columns the first 30."""
    some = found[:MOST_COLUMNS]
    names = [token_label(each.feature, _LONGEST) for each in some]
    places = list(range(len(some)))
    loss = _LOSSES.get(task, "log loss, nats")
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [each.value for each in some],
                "y": places,
                "marker": {"color": theme.load},
                "error_x": {
                    "type": "data",
                    "array": [each.deviation for each in some],
                    "color": theme.muted,
                    "thickness": 1,
                    "width": 3,
                },
                "hovertext": [
                    f"{token_label(each.feature, 60)}<br>{number(each.value)} "
                    f"± {number(each.deviation)}"
                    for each in some
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
            }
        ],
        "layout": {
            **base_layout(theme),
            "height": 64 + _ROW_HEIGHT * max(len(some), 3),
            "bargap": 0.35,
            "margin": {"l": 16 + 7 * max(map(len, names), default=0), "r": 16, "t": 8, "b": 44},
            "xaxis": {
                "showgrid": False,
                "zeroline": True,
                "zerolinecolor": theme.faded,
                "fixedrange": True,
                "nticks": 6,
                "title": axis_title(f"rise of the {loss}", 4),
            },
            "yaxis": {
                "tickvals": places,
                "ticktext": names,
                "ticks": "",
                "range": [len(some) - 0.5, -0.5],
                "showgrid": False,
                "zeroline": False,
                "fixedrange": True,
            },
        },
    }
