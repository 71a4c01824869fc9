"""A line small enough for a card: an SVG image as a data address, drawn without Plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

from app.figures.theme import LIGHT, Theme

WIDTH, HEIGHT = 132, 32
_EDGE = 4
# Most of an SVG may stand in an address as it is, which keeps it short.
_PLAIN = " ='/:;,()!*@$&+?"


def sparkline(
    values: Sequence[float],
    reference: Sequence[float] = (),
    theme: Theme = LIGHT,
    selected: int | None = None,
    top: float | None = None,
) -> str:
    """The values from left to right on a scale from 0 to `top`, the reference dotted.

    Undefined values leave a gap. `selected` is marked by a dot and a rule.
    """
    defined = [v for v in (*values, *reference) if not math.isnan(v)]
    high = max([*defined, top or 0.0]) or 1.0
    count = len(values)
    step = (WIDTH - 2 * _EDGE) / max(count - 1, 1)
    # A single layer stands in the middle.
    across = [_EDGE + index * step for index in range(count)] if count > 1 else [WIDTH / 2]

    def down(value: float) -> float:
        return HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * value / high

    level = list(zip(across, reference, strict=False))
    if len(level) == 1:
        level = [(_EDGE, reference[0]), (WIDTH - _EDGE, reference[0])]
    dots, alone = _lines([(x, down(v)) for x, v in level])
    line, single = _lines([(x, down(v)) for x, v in zip(across, values, strict=True)])
    parts = [
        f"<path d='M0,{HEIGHT - _EDGE + 0.5}H{WIDTH}' stroke='{theme.rule}'/>",
        f"<path d='{dots}' fill='none' stroke='{theme.muted}' stroke-dasharray='1.5 2.5'/>",
        *(_dot(x, y, 1, theme.muted) for x, y in alone),
        f"<path d='{line}' fill='none' stroke='{theme.load}' stroke-width='1.5'/>",
        *(_dot(x, y, 1.5, theme.load) for x, y in single),
    ]
    if selected is not None and not math.isnan(values[selected]):
        x = across[selected]
        parts.append(f"<path d='M{x:.1f},{_EDGE}V{HEIGHT - 1}' stroke='{theme.faded}'/>")
        parts.append(_dot(x, down(values[selected]), 3, theme.load))
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}'>{''.join(parts)}</svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe=_PLAIN)


def _lines(points: list[tuple[float, float]]) -> tuple[str, list[tuple[float, float]]]:
    """A path through the points, broken at undefined ones, and the points that stand alone."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if math.isnan(y):
            runs.append([])
        else:
            runs[-1].append((x, y))
    path = "".join(
        "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if len(run) > 1
    )
    return path, [run[0] for run in runs if len(run) == 1]


def _dot(x: float, y: float, radius: float, color: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:g}' fill='{color}'/>"


def sparkline_text(title: str, texts: Sequence[str]) -> str:
    """The same in words: the values in order of depth."""
    return f"{title} by layer: {', '.join(texts)}"
