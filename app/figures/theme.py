"""The colours of the figures, light and dark. The page's own stand in assets/moescope.css."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.routing.metrics import expert_load
from app.routing.trace import RouterLayer

ThemeName = Literal["light", "dark"]

# Okabe and Ito's palette for colour vision deficiencies, ordered so that neighbours differ
# in lightness too. Its black is light on dark ground; its yellow is deepened on white.
_EXPERTS_LIGHT = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#d9c91a",
    "#3b3b3b",
)
_EXPERTS_DARK = (
    "#2f8fd0",
    "#e69f00",
    "#12a87d",
    "#d58fb5",
    "#7cc6f0",
    "#e0702a",
    "#f0e442",
    "#e6e6e6",
)


@dataclass(frozen=True)
class Theme:
    """Colours as hex strings: ground, text, quiet text, rules, what is not selected.

    `load` is the hue of load and of measures, `second` that of a second series beside it,
    `hatch` the strokes over what was dropped.
    """

    name: ThemeName
    ground: str
    text: str
    muted: str
    rule: str
    faded: str
    accent: str
    load: str
    second: str
    hatch: str
    experts: tuple[str, ...]
    other_expert: str


LIGHT = Theme(
    name="light",
    ground="#ffffff",
    text="#1b1f24",
    muted="#59626e",
    rule="#d9dde2",
    faded="#9aa3ad",
    accent="#1b1f24",
    load="#08519c",
    second="#b35806",
    hatch="#1b1f24",
    experts=_EXPERTS_LIGHT,
    other_expert="#8b949e",
)
DARK = Theme(
    name="dark",
    ground="#14171b",
    text="#e6e9ed",
    muted="#9aa4b0",
    rule="#333a42",
    faded="#5b6570",
    accent="#e6e9ed",
    load="#6fb7f5",
    second="#f5a34a",
    hatch="#e6e9ed",
    experts=_EXPERTS_DARK,
    other_expert="#737d88",
)
THEMES: dict[str, Theme] = {"light": LIGHT, "dark": DARK}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def expert_colors(theme: Theme, layers: tuple[RouterLayer, ...]) -> list[str]:
    """A colour per expert, the same in all layers of a stack, by `colors_by_load`."""
    experts = max(layer.num_experts for layer in layers)
    # At every key: no load is worked out where none decides.
    if experts <= len(theme.experts):
        return list(theme.experts[:experts])
    return colors_by_load(theme, [expert_load(la.experts, la.num_experts) for la in layers])


def colors_by_load(theme: Theme, loads: Sequence[NDArray[np.float64]]) -> list[str]:
    """A colour per expert, from the load of each expert in each layer, float64 [E] of each.

    Up to as many experts as the palette has, each has its own; beyond, the ones with the
    highest load over all layers have, and the rest are grey.
    """
    palette = theme.experts
    experts = max(map(len, loads))
    if experts <= len(palette):
        return list(palette[:experts])
    total = np.zeros(experts)
    for load in loads:
        total[: len(load)] += load
    colors = [theme.other_expert] * experts
    for color, expert in zip(palette, sorted(np.argsort(-total)[: len(palette)]), strict=True):
        colors[int(expert)] = color
    return colors


def rgba(color: str, alpha: float) -> str:
    """A hex colour with an opacity in [0, 1]."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@functools.lru_cache(4096)
def mix(ground: str, color: str, share: float) -> str:
    """A hex colour between two: `share` 0 is the ground, 1 the colour."""
    parts = [
        round(int(ground[i : i + 2], 16) * (1 - share) + int(color[i : i + 2], 16) * share)
        for i in (1, 3, 5)
    ]
    return "#{:02x}{:02x}{:02x}".format(*parts)


@functools.lru_cache(4096)
def ink(color: str) -> str:
    """Black or white, whichever reads better on a hex colour (WCAG 2 relative luminance)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def cell_axis(labels: Sequence[str], reverse: bool = False, every: int = 1) -> dict[str, Any]:
    """An axis of a heatmap: a label each `every` cells, no lines; `reverse` counts downwards."""
    ends = [-0.5, len(labels) - 0.5]
    return {
        "tickvals": list(range(0, len(labels), every)),
        "ticktext": list(labels[::every]),
        "ticks": "",
        "range": ends[::-1] if reverse else ends,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def axis_title(text: str, standoff: int) -> dict[str, Any]:
    """The title of an axis, in the size of its labels."""
    return {"text": text, "standoff": standoff, "font": {"size": 12}}


def thinned(count: int, most: int) -> int:
    """Every how many of `count` labels leaves at most `most`: 1, 2, 4, 8 …"""
    every = 1
    while count > most * every:
        every *= 2
    return every


def cell_texts(texts: Sequence[Sequence[str]], inks: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The words in a heatmap's cells, each in its own colour, a list per row."""
    return {
        "type": "scatter",
        "mode": "text",
        "x": [x for row in texts for x in range(len(row))],
        "y": [y for y, row in enumerate(texts) for _ in row],
        # Plotly forgets the place of an empty text, and draws none there ever after.
        "text": [text or "\u00a0" for row in texts for text in row],
        "textfont": {"size": 12, "color": [color for row in inks for color in row]},
        "hoverinfo": "skip",
    }


def base_layout(theme: Theme) -> dict[str, Any]:
    """What all figures share: type, transparent ground, hover labels, no drag."""
    return {
        "autosize": True,
        "font": {"family": FONT, "size": 12, "color": theme.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": theme.muted,
            "activecolor": theme.text,
        },
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": theme.ground,
            "bordercolor": theme.faded,
            "font": {"family": FONT, "size": 13, "color": theme.text},
            "align": "left",
        },
    }
