"""How an atlas writes shares, ratios and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.corpus.counting.batch import LayerShape
from app.figures.labels import layer_label, number


def share(value: float) -> str:
    """A share in per cent, to three significant digits at most: 12.5%, 0.04%, <0.01%, 100%."""
    if math.isnan(value):
        return "–"
    if value in (0, 1):
        return f"{value:.0%}"
    if value < 0.00005:
        return "<0.01%"
    return f"{value:.1%}" if value >= 0.01 else f"{value:.2%}"


def interval(low: float, high: float, scale: float = 1.0) -> str:
    """The ends of an interval in brackets, empty for one that is undefined."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"({number(scale * low)}–{number(scale * high)})"


def ratio_text(value: float, low: float, high: float) -> str:
    """A risk ratio with its interval."""
    return f"{number(value)} {interval(low, high) or '(no interval)'}"


def is_clear(low: float, high: float) -> bool:
    """Whether an interval of a ratio leaves 1 out; an undefined one does not."""
    return low > 1 or high < 1


def place(shape: LayerShape) -> str:
    """Where in the model a router sits."""
    return f"{shape.stack} block {shape.block}"


def layer_names(shapes: Sequence[LayerShape]) -> list[str]:
    """A choice of layer in words."""
    return [f"{layer_label(index)}, {place(shape)}" for index, shape in enumerate(shapes)]
