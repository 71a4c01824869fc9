"""How much the choices of each layer say about a label, over depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.corpus.atlas.labels import LabelInformation
from app.figures.labels import count_of, layer_label, number
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, rgba, thinned

_HEIGHT = 240


def information_figure(
    found: Sequence[LabelInformation],
    theme: Theme = LIGHT,
    layer: int | None = None,
    other: Sequence[LabelInformation] = (),
) -> dict[str, Any]:
    """I(label; expert) in bits for each of L layers, with its interval.

    The band ends where 95 % of the shuffles of whole documents do, dotted is their mean.
    `layer` (from 0) is marked. `other` is a second pass, dashed with squares.
    """
    series = [*_null(found, theme.load if other else theme.muted)]
    if other:
        series += _null(other, theme.second)
        second = _values(other, "b", theme.second)
        second["line"] = {**second["line"], "dash": "dash"}
        second["marker"] = {**second["marker"], "symbol": "square"}
        series.append(second)
    series.append(_values(found, "a" if other else "", theme.load))
    layers = max(len(found), len(other), 1)
    return {
        "data": series,
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": {"l": 56, "r": 16, "t": 8, "b": 44},
            "xaxis": {
                **_axis(),
                "range": [0.7, layers + 0.3],
                "tickvals": list(range(1, layers + 1, thinned(layers, 16))),
                "title": axis_title("layer", 4),
            },
            "yaxis": {
                **_axis(),
                "range": [0, _top([*found, *other])],
                "nticks": 5,
                "title": axis_title("bits", 4),
            },
            "shapes": [] if layer is None else [_mark(layer, theme)],
        },
    }


def _null(found: Sequence[LabelInformation], color: str) -> list[dict[str, Any]]:
    """The band and the dotted line of the shuffles."""
    return [
        {
            **_line([each.null_high for each in found]),
            "mode": "lines",
            "fill": "tozeroy",
            "fillcolor": rgba(color, 0.16),
            "line": {"width": 0},
        },
        {
            **_line([each.null_bits for each in found]),
            "mode": "lines+markers",
            "line": {"color": color, "width": 1, "dash": "dot"},
            "marker": {"color": color, "size": 2},
        },
    ]


def _values(found: Sequence[LabelInformation], name: str, color: str) -> dict[str, Any]:
    """The bits of one pass; its name stands where the line ends."""
    return {
        **_line([each.bits for each in found]),
        "mode": "lines+markers+text",
        "text": [*[""] * (len(found) - 1), f" {name}"],
        "textposition": "middle right",
        "textfont": {"color": color},
        "line": {"color": color, "width": 2},
        "marker": {"color": color, "size": 7},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_length(each.high - each.bits) for each in found],
            "arrayminus": [_length(each.bits - each.low) for each in found],
            "color": color,
            "thickness": 1,
            "width": 4,
        },
        "hoverinfo": "text",
        "hovertext": [_hover(index, each, name) for index, each in enumerate(found)],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }


def _hover(layer: int, found: LabelInformation, name: str) -> str:
    who = f"{name}, {layer_label(layer).lower()}" if name else layer_label(layer)
    if math.isnan(found.bits):
        return f"{who}<br>undefined: no document has a label"
    return (
        f"{who}<br>{number(found.bits)} bits, 95 % {number(found.low)} to {number(found.high)}"
        f"<br>{count_of(found.tokens, 'token')} of {count_of(found.documents, 'document')}"
        f"<br>labels shuffled among {count_of(found.sampled, 'document')}: "
        f"{number(found.null_bits)}, 95 % below {number(found.null_high)}, "
        f"p {number(found.p_value)}"
        + (
            f"<br>{number(found.sample_bits)} bits in those documents"
            if found.sampled < found.documents
            else ""
        )
    )


def _top(found: Sequence[LabelInformation]) -> float:
    ends = [end for each in found for end in (each.bits, each.high, each.null_high)]
    return max([0.01, *(end for end in ends if not math.isnan(end))]) * 1.08


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else max(value, 0.0)


def _line(y: Sequence[float]) -> dict[str, Any]:
    """Values of the layers from the first on."""
    values = [None if math.isnan(value) else value for value in y]
    x = list(range(1, len(values) + 1))
    return {"type": "scatter", "x": x, "y": values, "hoverinfo": "skip"}


def _axis() -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}


def _mark(layer: int, theme: Theme) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": layer + 1,
        "x1": layer + 1,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"color": theme.faded, "width": 1},
    }
