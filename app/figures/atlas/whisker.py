"""A risk ratio small enough for a line of a card: an SVG image as a data address."""

from __future__ import annotations

import math
from urllib.parse import quote

from app.figures.atlas.words import is_clear
from app.figures.theme import LIGHT, Theme

WIDTH, HEIGHT = 96, 14
_EDGE = 4
# The scale goes from an eighth to eight times.
_TOP = 3.0
# Most of an SVG may stand in an address as it is, which keeps it short.
_PLAIN = " ='/:;,()!*@$&+?"


def whisker(value: float, low: float, high: float, theme: Theme = LIGHT) -> str:
    """A dot at the ratio and a line over its interval, on a logarithmic scale around 1.

    Grey where the interval holds 1 or is undefined, else blue above and orange below.
    """
    color = theme.muted
    if is_clear(low, high):
        color = theme.load if low > 1 else theme.second
    middle = HEIGHT / 2
    parts = [f"<path d='M{WIDTH / 2:g},0V{HEIGHT}' stroke='{theme.faded}'/>"]
    if not math.isnan(low):
        parts.append(
            f"<path d='M{_across(low):.1f},{middle:g}H{_across(high):.1f}' "
            f"stroke='{color}' stroke-width='1.5'/>"
        )
    if not math.isnan(value):
        parts.append(f"<circle cx='{_across(value):.1f}' cy='{middle:g}' r='3' fill='{color}'/>")
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}'>{''.join(parts)}</svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe=_PLAIN)


def _across(ratio: float) -> float:
    bits = -_TOP if ratio <= 0 else min(max(math.log2(ratio), -_TOP), _TOP)
    return WIDTH / 2 + bits / _TOP * (WIDTH / 2 - _EDGE)
