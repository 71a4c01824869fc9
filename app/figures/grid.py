"""The token grid: tokens × layers, the expert's id in each cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import layer_label, probability, token_label
from app.figures.selection import Selection, covered
from app.figures.theme import (
    LIGHT,
    MONO,
    Theme,
    base_layout,
    cell_axis,
    cell_texts,
    expert_colors,
    ink,
    mix,
    rgba,
)
from app.routing.trace import RouterLayer, RoutingTrace, Stack

CELL_WIDTH = 30
_CELL_HEIGHT = 24
_PALEST = 0.22
_MARGIN = {"l": 64, "r": 40, "t": 64, "b": 4}


def grid_figure(
    trace: RoutingTrace,
    theme: Theme = LIGHT,
    selection: Selection | None = None,
    stack: Stack | None = None,
) -> dict[str, Any]:
    """One column per token, one row per router layer.

    A cell has the colour of the token's expert, stronger with its probability, and prints
    the expert's id; `×` marks a dropped token. Cells keep their size whatever the length.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    sequence = trace.sequences[stack]
    tokens = len(sequence)
    colors = expert_colors(theme, layers)
    chosen = covered(selection, layers)
    data = [
        {
            "type": "heatmap",
            "z": [_codes(layer) for layer in layers],
            "zmin": 0,
            "zmax": len(colors),
            "colorscale": _scale(colors, theme),
            "showscale": False,
            "hovertext": [
                _hovers(layer, index, sequence.tokens) for index, layer in enumerate(layers)
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "xgap": 2,
            "ygap": 2,
        },
        cell_texts(
            [_texts(layer) for layer in layers],
            [_inks(layer, colors, theme, chosen) for layer in layers],
        ),
    ]
    if chosen is not None:
        data.append(_veil(chosen, len(layers), theme))
    return {
        "data": data,
        "layout": {
            **base_layout(theme),
            "width": _MARGIN["l"] + _MARGIN["r"] + tokens * CELL_WIDTH,
            "height": _MARGIN["t"] + _MARGIN["b"] + len(layers) * _CELL_HEIGHT,
            "margin": _MARGIN,
            "xaxis": {
                **cell_axis([token_label(token, 10) for token in sequence.tokens]),
                "side": "top",
                "tickangle": -50,
                "tickfont": {"family": MONO, "size": 12},
            },
            "yaxis": cell_axis([layer_label(i) for i in range(len(layers))], reverse=True),
            "shapes": _outline(selection, theme),
        },
    }


def _strength(layer: RouterLayer) -> np.ndarray:
    """How far p of the first expert lies above chance, in [0, 1], 0 if dropped; float [T]."""
    first = np.take_along_axis(layer.probabilities, layer.experts[:, :1], axis=1)[:, 0]
    chance = 1 / layer.num_experts
    strength = np.clip((first - chance) / max(1 - chance, 1e-9), 0, 1)
    return np.where(layer.dropped, 0.0, strength)


def _codes(layer: RouterLayer) -> list[float]:
    """Expert and strength as one number: the expert's segment of the scale, and how far in."""
    codes = layer.experts[:, 0] + 0.02 + 0.96 * _strength(layer)
    rounded: list[float] = np.round(codes, 3).tolist()
    return rounded


def _scale(colors: list[str], theme: Theme) -> list[list[Any]]:
    scale: list[list[Any]] = []
    for index, color in enumerate(colors):
        scale.append([index / len(colors), mix(theme.ground, color, _PALEST)])
        scale.append([(index + 1) / len(colors), color])
    return scale


def _inks(
    layer: RouterLayer, colors: list[str], theme: Theme, chosen: np.ndarray | None
) -> list[str]:
    lit = np.ones(len(layer.experts), dtype=bool) if chosen is None else chosen
    return [
        ink(mix(theme.ground, colors[expert], _PALEST + (1 - _PALEST) * strength))
        if bright
        else theme.faded
        for expert, strength, bright in zip(layer.experts[:, 0], _strength(layer), lit, strict=True)
    ]


def _texts(layer: RouterLayer) -> list[str]:
    return [
        " ".join(map(str, experts)) + ("×" if dropped else "")
        for experts, dropped in zip(layer.experts, layer.dropped, strict=True)
    ]


def _hovers(layer: RouterLayer, index: int, tokens: tuple[str, ...]) -> list[str]:
    texts = []
    for token, experts in enumerate(layer.experts):
        chosen = ", ".join(
            f"expert {expert} p {probability(layer.probabilities[token, expert])}"
            for expert in experts
        )
        end = f"<br>dropped: over capacity {layer.capacity}" if layer.dropped[token] else ""
        texts.append(
            f"token {token} «{token_label(tokens[token])}»<br>"
            f"{layer_label(index).lower()}: {chosen}{end}"
        )
    return texts


def _veil(chosen: np.ndarray, layers: int, theme: Theme) -> dict[str, Any]:
    """Fades the columns that are not selected, ids included."""
    row = [None if lit else 1 for lit in chosen]
    return {
        "type": "heatmap",
        "z": [row] * layers,
        "colorscale": [[0, rgba(theme.ground, 0.78)], [1, rgba(theme.ground, 0.78)]],
        "showscale": False,
        "hoverinfo": "skip",
    }


def _outline(selection: Selection | None, theme: Theme) -> list[dict[str, Any]]:
    if selection is None or selection.token is None or selection.layer is None:
        return []
    return [
        {
            "type": "rect",
            "x0": selection.token - 0.5,
            "x1": selection.token + 0.5,
            "y0": selection.layer - 0.5,
            "y1": selection.layer + 0.5,
            "line": {"color": theme.accent, "width": 2},
        }
    ]
