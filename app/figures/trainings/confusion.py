"""The confusion matrix: which class each true one was taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.figures.labels import count_of, token_label
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

_PRINTED = 16
_LONGEST = 24
_HEIGHTS = (160, 480)
_ROW_HEIGHT = 28


def confusion_figure(
    counts: NDArray[np.int64], classes: Sequence[str], theme: Theme = LIGHT
) -> dict[str, Any]:
    """Counts [true class, predicted class], coloured by their share of the true class.

    The diagonal is right. The scale is fixed from 0 to 1; few classes print their counts.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    size = len(classes)
    names = [token_label(name, _LONGEST) for name in classes]
    printed = size <= _PRINTED
    left = 40 + 7 * max(map(len, names), default=0)
    height = min(max(size * _ROW_HEIGHT, _HEIGHTS[0]), _HEIGHTS[1])
    gap = 1 if size <= 2 * _PRINTED else 0
    return {
        "data": [
            {
                "type": "heatmap",
                "z": np.round(shares, 4).tolist(),
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, theme.ground], [1, theme.load]],
                "showscale": False,
                "xgap": gap,
                "ygap": gap,
                "hovertext": _hovers(counts, shares, names),
                "hovertemplate": "%{hovertext}<extra></extra>",
            },
            *([_printed(counts, shares, theme)] if printed else []),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": left + (48 if printed else 8) * size},
            "height": height + 56,
            "margin": {"l": left, "r": 8, "t": 8, "b": 48},
            "xaxis": {
                **cell_axis(names, every=thinned(size, 20)),
                "title": axis_title("predicted", 4),
            },
            "yaxis": {
                **cell_axis(names, reverse=True, every=thinned(size, 20)),
                "title": axis_title("true", 8),
            },
            "shapes": [_frame(size, theme)],
        },
    }


def _hovers(
    counts: NDArray[np.int64], shares: NDArray[np.float64], names: Sequence[str]
) -> list[list[str]]:
    totals = counts.sum(axis=1).tolist()
    return [
        [
            f"{names[i]} taken for {names[j]}<br>"
            + (
                f"{count} of {count_of(totals[i], 'row')} ({share:.0%})"
                if totals[i]
                else "no row of it was held out"
            )
            for j, (count, share) in enumerate(zip(row, share_row, strict=True))
        ]
        for i, (row, share_row) in enumerate(zip(counts.tolist(), shares.tolist(), strict=True))
    ]


def _printed(
    counts: NDArray[np.int64], shares: NDArray[np.float64], theme: Theme
) -> dict[str, Any]:
    return cell_texts(
        [[f"{count:,}" if count else "" for count in row] for row in counts.tolist()],
        [[ink(mix(theme.ground, theme.load, share)) for share in row] for row in shares.tolist()],
    )


def _frame(size: int, theme: Theme) -> dict[str, Any]:
    ends = {"x0": -0.5, "x1": size - 0.5, "y0": -0.5, "y1": size - 0.5}
    return {"type": "rect", **ends, "line": {"color": theme.rule, "width": 1}}
