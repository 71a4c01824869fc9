"""What the loads of two passes differ by: layers × experts, around zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.corpus.atlas.pairs import LoadDifference
from app.figures.atlas.cells import over_experts
from app.figures.atlas.words import share
from app.figures.difference import points
from app.figures.labels import layer_label
from app.figures.theme import LIGHT, Theme, base_layout, cell_texts, ink, mix

_FADED = 0.3
_ROW_HEIGHT = 32
_PRINTED_EXPERTS = 16
_MOST_SAID = 8


def load_differences_figure(
    found: Sequence[LoadDifference], theme: Theme = LIGHT
) -> dict[str, Any]:
    """Load in b less that in a of each expert in each layer, in percentage points.

    The ground is no difference, blue is more in b, orange less; faded where the interval holds
    0 or is undefined. The scale is fixed and symmetric: it ends at the uniform share 1/N.
    """
    experts = max(len(each.a) for each in found)
    top = 1 / experts
    names = [layer_label(index) for index in range(len(found))]
    values = _filled([each.value for each in found], experts)
    clear = _filled([each.low for each in found], experts) > 0
    clear |= _filled([each.high for each in found], experts) < 0
    hovers = [
        [_hover(each, expert, name) for expert in range(len(each.a))]
        for name, each in zip(names, found, strict=True)
    ]
    left = 16 + 7 * max(map(len, names))
    end = f"{100 * top:.3g}"

    def cells(where: NDArray[np.bool_], strength: float, bar: bool) -> dict[str, Any]:
        less, more = (mix(theme.ground, color, strength) for color in (theme.second, theme.load))
        return {
            "type": "heatmap",
            "z": _plain(np.where(where, values, np.nan)),
            "zmin": -top,
            "zmax": top,
            "colorscale": [[0, less], [0.5, theme.ground], [1, more]],
            "xgap": 1,
            "ygap": 1,
            "hovertext": hovers,
            "hovertemplate": "%{hovertext}<extra></extra>",
            "hoverongaps": False,
            "showscale": bar,
            "colorbar": {
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [-top, 0, top],
                "ticktext": [f"−{end} less", "0", f"+{end} more"],
                "ticks": "outside",
            },
        }

    return {
        "data": [
            # A trace without cells would have no colour bar either.
            cells(clear, 1.0, bool(clear.any())),
            cells(~clear, _FADED, not clear.any()),
            *([_printed(values, clear, top, theme)] if experts <= _PRINTED_EXPERTS else []),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {
                "least_width": left + 96 + (10 if experts > _PRINTED_EXPERTS else 36) * experts
            },
            "height": max(140, 56 + _ROW_HEIGHT * len(found)),
            "margin": {"l": left, "r": 96, "t": 8, "b": 40},
            **over_experts(names, experts, theme),
        },
    }


def load_differences_summary(found: Sequence[LoadDifference]) -> str:
    """The figure in words: of each layer, the experts whose load surely differs."""
    told = ["Difference of the load, b less a, in percentage points, where it is sure."]
    for index, each in enumerate(found):
        sure = np.flatnonzero((each.low > 0) | (each.high < 0))
        order = sure[np.argsort(-np.abs(each.value[sure]), kind="stable")][:_MOST_SAID]
        said = ", ".join(f"expert {expert} {points(each.value[expert])}" for expert in order)
        told.append(f"{layer_label(index)}: {said or 'none'}.")
    return " ".join(told)


def _filled(rows: Sequence[NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    """Rows of layers as one array, NaN where a layer has fewer experts."""
    filled = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled


def _plain(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if math.isnan(v) else round(v, 5) for v in row] for row in values.tolist()]


def _hover(found: LoadDifference, expert: int, name: str) -> str:
    low, high = float(found.low[expert]), float(found.high[expert])
    held = "" if low > 0 or high < 0 else ", holds 0"
    ends = (
        "no interval: too few documents"
        if math.isnan(low)
        else f"corrected interval {_signed(low)} to {_signed(high)}{held}"
    )
    return (
        f"{name}, expert {expert}<br>"
        f"a: {share(float(found.a[expert]))}, {int(found.n_a[expert]):,} assignments<br>"
        f"b: {share(float(found.b[expert]))}, {int(found.n_b[expert]):,}<br>"
        f"b − a: {_signed(float(found.value[expert]))} points<br>{ends}"
    )


def _signed(difference: float) -> str:
    return "–" if math.isnan(difference) else points(difference) or "0"


def _printed(
    values: NDArray[np.float64], clear: NDArray[np.bool_], top: float, theme: Theme
) -> dict[str, Any]:
    def fill(value: float) -> str:
        hue = theme.load if value > 0 else theme.second
        return mix(theme.ground, hue, min(1.0, abs(value) / top))

    return cell_texts(
        [["" if math.isnan(value) else points(value) for value in row] for row in values.tolist()],
        [
            [
                ink(fill(value)) if sure else theme.muted
                for value, sure in zip(row, sures, strict=True)
            ]
            for row, sures in zip(np.nan_to_num(values).tolist(), clear.tolist(), strict=True)
        ],
    )
