"""A run's load heatmap, small enough for a line of a list: an SVG image as a data address."""

from __future__ import annotations

import re
from urllib.parse import quote

WIDTH, HEIGHT = 72, 24
# One blue that stands out on light and dark ground alike; its opacity is the load.
_HUE = "#3b86c8"
_LEVELS = 15
_CODE = re.compile(r"[0-9a-f]{1,64}(\.[0-9a-f]{1,64}){0,31}")
# Most of an SVG may stand in an address as it is, which keeps it short.
_PLAIN = " ='/:;,()!*@$&+?"


def thumbnail(code: str) -> str | None:
    """The image of a load code (`RunSummary.load`), None for one that can't be read.

    Rows are router layers, columns experts; full colour is four times the uniform share or
    more, none at all is no load.
    """
    if not _CODE.fullmatch(code):
        return None
    rows = code.split(".")
    paths = "".join(
        f"<path d='{cells}' fill-opacity='{level / _LEVELS:.2g}'/>"
        for level in range(1, _LEVELS + 1)
        if (cells := _cells(rows, f"{level:x}"))
    )
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {max(map(len, rows))} {len(rows)}' "
        f"width='{WIDTH}' height='{HEIGHT}' preserveAspectRatio='none' fill='{_HUE}' "
        f"shape-rendering='crispEdges'>{paths}</svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe=_PLAIN)


def thumbnail_text(code: str) -> str:
    """The same in words: its size, and where the highest load is."""
    rows = code.split(".")
    experts = max(map(len, rows))
    highest = max(max(row) for row in rows)
    layer = next(index for index, row in enumerate(rows) if highest in row)
    expert = rows[layer].index(highest)
    return (
        f"Load of {len(rows)} layers × {experts} experts, highest in layer {layer + 1} "
        f"at expert {expert}"
    )


def _cells(rows: list[str], digit: str) -> str:
    """A path over all cells of one level, neighbours in a row as one rectangle."""
    return "".join(
        f"M{run.start()},{y}h{(n := run.end() - run.start())}v1h-{n}z"
        for y, row in enumerate(rows)
        for run in re.finditer(f"{digit}+", row)
    )
