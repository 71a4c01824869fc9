"""Which label values each expert of a layer prefers: experts × values, around chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.corpus.atlas.labels import LabelProfile
from app.figures.atlas.cells import over_experts
from app.figures.atlas.words import interval, is_clear, share
from app.figures.labels import count_of, number, token_label
from app.figures.theme import (
    LIGHT,
    Theme,
    base_layout,
    cell_texts,
    ink,
    mix,
)

# The scale ends at eight times, and at an eighth of, the chance level.
_TOP = 3.0
_FADED = 0.3
_ROW_HEIGHT = 24
_PRINTED_EXPERTS = 16
_LONGEST = 24
MOST_VALUES = 40


def risk_figure(profile: LabelProfile, theme: Theme = LIGHT) -> dict[str, Any]:
    """log2 of the risk ratio P(expert | value) / P(expert) of each value (row) and expert.

    The ground is chance, blue is more often, orange less. Cells whose corrected interval holds
    1 or is undefined are faded; of the others the ratio is printed where there is room. Of more
    than 40 values those with the most tokens are shown. The scale is fixed.
    """
    rows = shown_values(profile)
    experts = len(profile.baseline)
    ratios = profile.risk_ratio[:, rows].T
    lows, highs = profile.low[:, rows].T, profile.high[:, rows].T
    clear = (lows > 1) | (highs < 1)
    bits = _bits(ratios)
    names = [token_label(profile.values[row], _LONGEST) for row in rows]
    gap = 1 if experts <= 4 * _PRINTED_EXPERTS else 0
    hovers = [[_hover(profile, expert, row) for expert in range(experts)] for row in rows]
    left = 16 + 7 * max(map(len, names), default=0)

    def cells(where: NDArray[np.bool_], strength: float, bar: bool) -> dict[str, Any]:
        ends = (mix(theme.ground, color, strength) for color in (theme.second, theme.load))
        less, more = ends
        return {
            "type": "heatmap",
            "z": _plain(np.where(where, bits, np.nan)),
            "zmin": -_TOP,
            "zmax": _TOP,
            "colorscale": [[0, less], [0.5, theme.ground], [1, more]],
            "xgap": gap,
            "ygap": gap,
            "hovertext": hovers,
            "hovertemplate": "%{hovertext}<extra></extra>",
            "hoverongaps": False,
            "showscale": bar,
            "colorbar": {
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [-_TOP, -1, 0, 1, _TOP],
                "ticktext": ["⅛", "½", "1", "2", "8+"],
                "ticks": "outside",
            },
        }

    return {
        "data": [
            # A trace without cells would have no colour bar either.
            cells(clear, 1.0, bool(clear.any())),
            cells(~clear, _FADED, not clear.any()),
            *(
                [_printed(ratios, bits, clear, theme)]
                if 0 < experts <= _PRINTED_EXPERTS and len(rows)
                else []
            ),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {
                "least_width": left + 64 + (10 if experts > _PRINTED_EXPERTS else 36) * experts
            },
            "height": max(120, 56 + _ROW_HEIGHT * len(rows)),
            "margin": {"l": left, "r": 64, "t": 8, "b": 40},
            **over_experts(names, experts, theme),
        },
    }


def shown_values(profile: LabelProfile) -> list[int]:
    """The rows of the figure: at most 40 values, those with the most tokens, in their order."""
    most = np.argsort(-profile.tokens, kind="stable")[:MOST_VALUES]
    return sorted(int(row) for row in most)


def risk_summary(profile: LabelProfile, column: str) -> str:
    """Of each expert, the values that it surely takes more often, in words."""
    said = []
    for expert in range(len(profile.baseline)):
        low, ratios = profile.low[expert], profile.risk_ratio[expert]
        order = np.argsort(-np.nan_to_num(ratios), kind="stable")
        named = [f"{profile.values[i]} {number(ratios[i])}" for i in order if low[i] > 1]
        if named:
            said.append(f"expert {expert}: {', '.join(named)}")
    return f"Risk ratios of {column} surely above 1. {'; '.join(said) or 'None'}."


def _bits(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        bits = np.log2(ratios)
    clipped: NDArray[np.float64] = np.clip(bits, -_TOP, _TOP)
    return clipped


def _plain(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if math.isnan(v) else round(v, 3) for v in row] for row in values.tolist()]


def _hover(profile: LabelProfile, expert: int, row: int) -> str:
    value, taken = token_label(profile.values[row], 60), profile.risk_ratio[expert, row]
    low, high = float(profile.low[expert, row]), float(profile.high[expert, row])
    if math.isnan(taken):
        return f"expert {expert}, {value}<br>undefined: the expert has no labelled token"
    held = "" if is_clear(low, high) or math.isnan(low) else ", holds 1"
    ends = interval(low, high)
    return (
        f"expert {expert}, {value}<br>risk ratio {number(taken)} "
        + (f"{ends}{held}" if ends else "without an interval: too few documents")
        + f"<br>takes {share(float(profile.share[expert, row]))} of its tokens, "
        f"{share(float(profile.baseline[expert]))} of all"
        f"<br>{share(float(profile.recall[expert, row]))} of the expert’s labelled tokens"
        f"<br>{count_of(int(profile.tokens[row]), 'token')} of "
        f"{count_of(int(profile.documents[row]), 'document')}"
    )


def _short(ratio: float) -> str:
    return "<0.1" if ratio < 0.095 else number(ratio)


def _printed(
    ratios: NDArray[np.float64],
    bits: NDArray[np.float64],
    clear: NDArray[np.bool_],
    theme: Theme,
) -> dict[str, Any]:
    def fill(value: float) -> str:
        hue = theme.load if value > 0 else theme.second
        return mix(theme.ground, hue, min(1.0, abs(value) / _TOP))

    return cell_texts(
        [
            [_short(value) if sure else "" for value, sure in zip(row, sures, strict=True)]
            for row, sures in zip(ratios.tolist(), clear.tolist(), strict=True)
        ],
        [[ink(fill(value)) for value in row] for row in np.nan_to_num(bits).tolist()],
    )
