"""Dropped tokens: where in the text, and in which layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import count_of, layer_label, layer_ticks, token_label
from app.figures.theme import LIGHT, MONO, Theme, base_layout, thinned
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_MARGIN = {"l": 40, "r": 16, "t": 24, "b": 72}
_HEIGHT = 260
_NAMED_TOKENS = 60


def drops_figure(
    trace: RoutingTrace, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any] | None:
    """By position, in which share of the layers a token was dropped; the rate of each layer.

    None when nothing was dropped. `customdata` of a bar is the selection of its token.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    dropped = np.array([layer.dropped for layer in layers])
    if not dropped.any():
        return None
    sequence = trace.sequences[stack]
    tokens = len(sequence)
    every = 1 if tokens <= _NAMED_TOKENS else thinned(tokens, 30)
    names = [token_label(token, 10) for token in sequence.tokens]
    labels = names if every == 1 else [str(token) for token in range(tokens)]
    scale = {"range": [0, 1.04], "tickformat": ".0%", "nticks": 5}
    return {
        "data": [
            {
                **_bars(theme),
                "x": list(range(tokens)),
                "y": dropped.mean(axis=0).tolist(),
                "hovertext": [
                    f"token {token} «{name}»<br>{_where(dropped[:, token], len(layers))}"
                    for token, name in enumerate(names)
                ],
                "customdata": [{"token": token} for token in range(tokens)],
            },
            {
                **_bars(theme),
                "x": list(range(len(layers))),
                "y": dropped.mean(axis=1).tolist(),
                "hovertext": [_rate(layer, index) for index, layer in enumerate(layers)],
                "xaxis": "x2",
                "yaxis": "y2",
            },
        ],
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": _MARGIN,
            "bargap": 0.25,
            "xaxis": {
                **_axis(labels, every),
                "domain": [0, 0.68],
                "tickangle": -50 if every == 1 else 0,
                "tickfont": {"family": MONO, "size": 11},
            },
            "yaxis": {**_PLAIN, **scale},
            "xaxis2": {
                **_axis(layer_ticks(layers), thinned(len(layers), 12)),
                "domain": [0.76, 1],
                "anchor": "y2",
                "tickangle": -50,
            },
            "yaxis2": {**_PLAIN, **scale, "anchor": "x2"},
            "annotations": [
                _title(0, "share of the layers that dropped each token"),
                _title(0.76, f"rate of each layer, {dropped.mean():.1%} overall"),
            ],
        },
    }


_PLAIN = {"showgrid": False, "zeroline": True, "fixedrange": True}


def _axis(labels: list[str], every: int) -> dict[str, Any]:
    return {
        "range": [-0.6, len(labels) - 0.4],
        "tickvals": list(range(0, len(labels), every)),
        "ticktext": labels[::every],
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _bars(theme: Theme) -> dict[str, Any]:
    """Hatched, as everywhere for what was dropped."""
    return {
        "type": "bar",
        "marker": {
            "color": theme.ground,
            "line": {"color": theme.hatch, "width": 1},
            "pattern": {"shape": "/", "fgcolor": theme.hatch, "size": 6, "solidity": 0.25},
        },
        "textposition": "none",
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _where(dropped: np.ndarray, layers: int) -> str:
    which = (np.flatnonzero(dropped) + 1).tolist()
    if not which:
        return "never dropped"
    return f"dropped in {len(which)} of {count_of(layers, 'layer')}: {', '.join(map(str, which))}"


def _rate(layer: RouterLayer, index: int) -> str:
    count, tokens = int(layer.dropped.sum()), len(layer.dropped)
    room = "" if layer.capacity is None else f"<br>capacity {layer.capacity} an expert"
    return (
        f"{layer_label(index)}: {count} of {count_of(tokens, 'token')} dropped "
        f"({count / tokens:.1%}){room}"
    )


def _title(x: float, text: str) -> dict[str, Any]:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
        "text": text,
    }
