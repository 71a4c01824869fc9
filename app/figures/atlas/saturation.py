"""How far the routing of a model's checkpoints agrees with that of one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.corpus.saturation import LayerSaturation, Saturation
from app.figures.atlas.words import interval, share
from app.figures.labels import count_of, layer_label, token_label
from app.figures.theme import LIGHT, Theme, base_layout, mix, rgba, thinned

_HEIGHT, _TOP, _LEFT, _RIGHT = 300, 12, 48, 64
_LABEL_PIXELS = 14
# So many lines still have room for their names; of more, first, last and chosen are named.
_NAMED = 12
_LONGEST, _PIXELS, _TICKS = 16, 7, 24
_NARROW, _STEP = 200, 28
# The first layer's line keeps a contrast of 3 : 1 against the ground.
_FAINTEST = 0.6
_BEYOND = 0.4


def saturation_figure(
    names: Sequence[str],
    found: Sequence[Saturation | None],
    theme: Theme = LIGHT,
    layer: int | None = None,
) -> dict[str, Any]:
    """The share of the same experts in each checkpoint, a line per layer with its intervals.

    `found` is None for those that are not known. Deeper layers are stronger, `layer` (from 0) is
    thicker. Grey is what the loads alone give, from the lowest layer to the highest, dotted that
    of `layer`. The scale is fixed.
    """
    layers = max((len(each.layers) for each in found if each), default=0)
    flat = _PIXELS * min(max(map(len, names), default=0), _LONGEST)
    angled = flat + 8 > _NARROW / max(len(names), 1)
    # Names that stand aslant begin to the left of their place, and below.
    bottom = 28 + (round(flat * 0.64) if angled else 0)
    left = max(_LEFT, round(flat * 0.77) - 8 if angled else 0)
    every = thinned(len(names), _TICKS)
    return {
        "data": [
            *_chance(found, layer, theme),
            # The chosen one lies over the others.
            *(
                _line(index, names, found, index == layer, layers, theme)
                for index in sorted(range(layers), key=lambda index: index == layer)
            ),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": max(320, left + _RIGHT + _STEP * len(names))},
            "height": _HEIGHT + bottom,
            "margin": {"l": left, "r": _RIGHT, "t": _TOP, "b": bottom},
            "xaxis": {
                **_axis(),
                "range": [-0.5, len(names) - 0.5],
                "tickvals": list(range(0, len(names), every)),
                "ticktext": [_tick(name) for name in names[::every]],
                "autotickangles": [0, -40],
            },
            "yaxis": {**_axis(), "range": [0, 1.02], "tickformat": ".0%", "nticks": 6},
            "annotations": _labels(found, layer, layers, theme),
        },
    }


def saturation_summary(names: Sequence[str], found: Sequence[Saturation | None]) -> str:
    """Of each layer the first and the last checkpoint, in words."""
    known = [(name, each) for name, each in zip(names, found, strict=True) if each]
    if not known:
        return "No checkpoint is compared yet."
    ends = known[:1] + known[1:][-1:]
    said = [
        f"{layer_label(index)}: "
        + ", ".join(f"{share(each.layers[index].share)} in {name}" for name, each in ends)
        for index in range(len(known[0][1].layers))
    ]
    return f"Share of the same experts. {'; '.join(said)}."


def _line(
    index: int,
    names: Sequence[str],
    found: Sequence[Saturation | None],
    chosen: bool,
    layers: int,
    theme: Theme,
) -> dict[str, Any]:
    color = _color(index, layers, theme)
    its = [each.layers[index] if each else None for each in found]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(its))),
        "y": [None if one is None or math.isnan(one.share) else one.share for one in its],
        "line": {"color": color, "width": 3 if chosen else 1.5},
        "marker": {"color": color, "size": 8 if chosen else 5},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_length(one, 1) for one in its],
            "arrayminus": [_length(one, -1) for one in its],
            "color": color,
            "thickness": 1,
            "width": 3,
        },
        "hovertext": [_hover(name, index, each) for name, each in zip(names, found, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }


def _chance(
    found: Sequence[Saturation | None], layer: int | None, theme: Theme
) -> list[dict[str, Any]]:
    """A band over all layers, and the chosen one's level; both go on beyond the ends."""
    known = [(x, [one.chance for one in each.layers]) for x, each in enumerate(found) if each]
    known = [(x, levels) for x, levels in known if not any(map(math.isnan, levels))]
    if not known:
        return []
    places = [known[0][0] - _BEYOND, *(x for x, _ in known), known[-1][0] + _BEYOND]
    levels = [known[0][1], *(levels for _, levels in known), known[-1][1]]
    common = {"type": "scatter", "mode": "lines", "x": places, "hoverinfo": "skip"}
    band = [
        {**common, "y": [min(each) for each in levels], "line": {"width": 0}},
        {
            **common,
            "y": [max(each) for each in levels],
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": rgba(theme.muted, 0.24),
        },
    ]
    dotted = {"color": theme.muted, "width": 1.5, "dash": "dot"}
    if layer is None or layer >= len(levels[0]):
        return band
    return [*band, {**common, "y": [each[layer] for each in levels], "line": dotted}]


def _labels(
    found: Sequence[Saturation | None], layer: int | None, layers: int, theme: Theme
) -> list[dict[str, Any]]:
    """The names of the layers where their lines end, apart from each other."""
    last = next((x for x in reversed(range(len(found))) if found[x]), None)
    if last is None or not (outcome := found[last]):
        return []
    named = [i for i in range(layers) if layers <= _NAMED or i in (0, layer, layers - 1)]
    ends = {i: outcome.layers[i].share for i in named if not math.isnan(outcome.layers[i].share)}
    apart = 1.02 * _LABEL_PIXELS / (_HEIGHT - _TOP)
    order = sorted(ends, key=lambda i: (-ends[i], i))
    heights, highest = [], 1.02 - apart / 2
    for i in order:
        heights.append(min(ends[i], highest))
        highest = heights[-1] - apart
    # Pushed off the ground, they push up those above them.
    lowest = apart / 2
    for place in reversed(range(len(heights))):
        heights[place] = max(heights[place], lowest)
        lowest = heights[place] + apart
    return [
        {
            "x": last,
            "y": round(height, 4),
            "xanchor": "left",
            "xshift": 8,
            "showarrow": False,
            "text": f"<b>layer {i + 1}</b>" if i == layer else f"layer {i + 1}",
            "font": {"size": 11, "color": theme.text if i == layer else theme.muted},
        }
        for i, height in zip(order, heights, strict=True)
    ]


def _hover(name: str, layer: int, found: Saturation | None) -> str:
    if found is None:
        return ""
    its = found.layers[layer]
    ends = interval(its.low, its.high, 100)
    return (
        f"{token_label(name, 60)}, {layer_label(layer).lower()}"
        f"<br>{share(its.share)} of the experts are the same "
        f"{ends or 'without an interval: too few documents'}"
        f"<br>{share(its.chance)} by chance"
        f"<br>{count_of(found.tokens, 'token')} of {count_of(found.documents, 'document')}"
    )


def _color(layer: int, layers: int, theme: Theme) -> str:
    depth = layer / (layers - 1) if layers > 1 else 1.0
    return mix(theme.ground, theme.load, _FAINTEST + (1 - _FAINTEST) * depth)


def _length(found: LayerSaturation | None, way: int) -> float:
    if found is None:
        return 0.0
    end = found.high if way > 0 else found.low
    return 0.0 if math.isnan(end) else max(way * (end - found.share), 0.0)


def _tick(name: str) -> str:
    """What tells checkpoints apart stands at the end of their names."""
    cut = name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
    return token_label(cut, _LONGEST)


def _axis() -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}
