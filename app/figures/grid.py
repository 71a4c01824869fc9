"""The token grid: tokens × layers, the expert's id in each cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import (
    MOST_NAMED,
    dropped_text,
    layer_label,
    layer_place,
    layer_ticks,
    probability,
    score_word,
    token_label,
)
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
from app.routing.metrics import distribution
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

CELL_WIDTH = 30
_CELL_HEIGHT = 24
_PALEST = 0.22
_DIGIT_WIDTH = 8
_MARGIN = {"l": 64, "r": 40, "t": 64, "b": 4}
_CAPTION = 18


def grid_figure(
    trace: RoutingTrace,
    theme: Theme = LIGHT,
    selection: Selection | None = None,
    stack: Stack | None = None,
) -> dict[str, Any]:
    """One column per token, one row per router layer.

    A cell has the colour of the token's expert, stronger with its probability, and prints
    the expert's id; a dropped token's cell is pale, hatched and marked `×`. Generated tokens
    stand right of a rule, in italics with a plus. Cells keep their size whatever the length.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    sequence = trace.sequences[stack]
    colors = expert_colors(theme, layers)
    chosen = covered(selection, layers)
    rows = layer_ticks(layers)
    left = max(_MARGIN["l"], 16 + 7 * max(map(len, rows)))
    bottom = _MARGIN["b"] + _CAPTION * bool(sequence.generated.any())
    data = [
        {
            "type": "heatmap",
            "z": [_codes(layer) for layer in layers],
            "zmin": 0,
            "zmax": len(colors),
            "colorscale": _scale(colors, theme),
            "showscale": False,
            "hovertext": [
                _hovers(layer, index, sequence, layers) for index, layer in enumerate(layers)
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "xgap": 2,
            "ygap": 2,
        },
        _hatching(layers, theme),
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
            "width": left + _MARGIN["r"] + len(sequence) * cell_width(layers),
            "height": _MARGIN["t"] + bottom + len(layers) * _CELL_HEIGHT,
            "margin": {**_MARGIN, "l": left, "b": bottom},
            "xaxis": {
                **cell_axis(_columns(sequence)),
                "side": "top",
                "tickangle": -50,
                "tickfont": {"family": MONO, "size": 12},
            },
            "yaxis": cell_axis(rows, reverse=True),
            "shapes": [*_outline(selection, theme), *_start_of_generated(sequence, theme)],
            "annotations": _generated_note(sequence, theme),
        },
    }


def cell_width(layers: tuple[RouterLayer, ...]) -> int:
    """The width of a column: it fits the longest text that these routers can give a cell."""
    digits = max(len(str(layer.num_experts - 1)) for layer in layers)
    k = max(layer.top_k for layer in layers)
    letters = 2 * digits + 1 if k == MOST_NAMED else digits + (k > MOST_NAMED)
    drops = any(layer.capacity is not None for layer in layers)
    return max(CELL_WIDTH, 6 + _DIGIT_WIDTH * (letters + drops))


def _columns(sequence: TokenSequence) -> list[str]:
    return [
        f"<i>+{token_label(token, 10)}</i>" if generated else token_label(token, 10)
        for token, generated in zip(sequence.tokens, sequence.generated, strict=True)
    ]


def _strength(layer: RouterLayer) -> np.ndarray:
    """How far p of the first expert lies above chance, in [0, 1], 0 if dropped; float [T].

    Scores that don't sum to 1 are made to: only then 1/N is chance.
    """
    p = np.nan_to_num(distribution(layer.probabilities), nan=1 / layer.num_experts)
    first = np.take_along_axis(p, layer.experts[:, :1], axis=1)[:, 0]
    chance = 1 / layer.num_experts
    strength = np.clip((first - chance) / max(1 - chance, 1e-9), 0, 1)
    return np.where(layer.dropped, 0.0, strength)


def _codes(layer: RouterLayer) -> list[float]:
    """Expert and strength as one number: the expert's segment of the scale, and how far in."""
    codes = layer.experts[:, 0] + 0.02 + 0.96 * _strength(layer)
    rounded: list[float] = np.round(codes, 2).tolist()
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
    # Two digits decide between black and white as well, and recur.
    strengths = np.round(_strength(layer), 2).tolist()
    return [
        ink(mix(theme.ground, colors[expert], _PALEST + (1 - _PALEST) * strength))
        if bright
        else theme.faded
        for expert, strength, bright in zip(
            layer.experts[:, 0].tolist(), strengths, lit.tolist(), strict=True
        )
    ]


def _texts(layer: RouterLayer) -> list[str]:
    shown = MOST_NAMED if layer.top_k <= MOST_NAMED else 1
    more = "…" if layer.top_k > shown else ""
    return [
        " ".join(map(str, experts[:shown])) + more + ("×" if dropped else "")
        for experts, dropped in zip(layer.experts.tolist(), layer.dropped.tolist(), strict=True)
    ]


def _hatching(layers: tuple[RouterLayer, ...], theme: Theme) -> dict[str, Any]:
    """Slanting strokes over the cells of dropped tokens, under their ids."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row, layer in enumerate(layers):
        for token in np.flatnonzero(layer.dropped).tolist():
            for x0, y0, x1, y1 in _STROKES:
                x += [token + x0, token + x1, None]
                y += [row + y0, row + y1, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": rgba(theme.hatch, 0.45), "width": 1},
        "hoverinfo": "skip",
    }


# Of a cell from −½ to ½, in its own units: up to the right, as far as its edges.
_STROKES = (
    (-0.44, -0.12, -0.14, -0.42),
    (-0.44, 0.3, 0.28, -0.42),
    (-0.28, 0.42, 0.44, -0.3),
    (0.14, 0.42, 0.44, 0.12),
)


def _hovers(
    layer: RouterLayer, index: int, sequence: TokenSequence, layers: tuple[RouterLayer, ...]
) -> list[str]:
    word, place = score_word(layer), layer_place(layer, layers)
    head = f"{layer_label(index).lower()} ({place}): "
    scores = np.take_along_axis(layer.probabilities, layer.experts, axis=1).tolist()
    texts = []
    for token, experts in enumerate(layer.experts.tolist()):
        chosen = ", ".join(
            f"expert {expert} {word} {probability(score)}"
            for expert, score in zip(experts, scores[token], strict=True)
        )
        end = f"<br>{dropped_text(layer)}" if layer.dropped[token] else ""
        generated = ", generated" if sequence.generated[token] else ""
        name = token_label(sequence.tokens[token])
        line = "<br>" if len(experts) > MOST_NAMED else ""
        texts.append(f"token {token} «{name}»{generated}<br>{head}{line}{chosen}{end}")
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


def _start_of_generated(sequence: TokenSequence, theme: Theme) -> list[dict[str, Any]]:
    """A rule between the last token that was given and the first that the model made."""
    if not sequence.generated.any() or sequence.generated[0]:
        return []
    x = int(np.argmax(sequence.generated)) - 0.5
    line = {"color": theme.text, "width": 1}
    place = {"yref": "paper", "y0": 0, "y1": 1, "layer": "above"}
    return [{"type": "line", "x0": x, "x1": x, **place, "line": line}]


def _generated_note(sequence: TokenSequence, theme: Theme) -> list[dict[str, Any]]:
    if not sequence.generated.any():
        return []
    return [
        {
            "x": int(np.argmax(sequence.generated)) - 0.5,
            "yref": "paper",
            "y": 0,
            "xanchor": "left",
            "yanchor": "top",
            "showarrow": False,
            "text": "<i>+ generated</i>",
            "font": {"size": 11, "color": theme.muted},
        }
    ]
