"""The flow figure: which expert takes each token, through all router layers.

A Sankey diagram drawn with Plotly shapes, one path per colour: painting is about three
times as fast as `go.Sankey`'s, labels stand outside, and a single token can be followed.
Points without a mark carry the hover texts and the clicks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from app.figures.flow_hover import hover_flows, hover_nodes, hover_tokens
from app.figures.flow_layout import BEND, FlowLayout, Ribbon, bezier, flow_layout
from app.figures.labels import block_label, layer_label, token_label
from app.figures.selection import Selection, covered
from app.figures.theme import LIGHT, MONO, Theme, base_layout, expert_colors, rgba
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_FAINT_SHARE = 0.02
_MARGIN = {"l": 4, "r": 72, "t": 44, "b": 8, "pad": 0}
# Room for the line that counts what was dropped; only where a router can drop tokens.
_DROP_LINE = 14
# The labels stand inside the plot, so that pointing at them works: this share of its width,
# but no wider than this many layers.
_LABELS = 0.16
_MOST_LABELS = 2.6
_LAYER_WIDTH = 56
_LEAST_WIDTH = 620
_HATCH_STEP = 7


def flow_figure(
    trace: RoutingTrace,
    theme: Theme = LIGHT,
    selection: Selection | None = None,
    stack: Stack | None = None,
) -> dict[str, Any]:
    """Tokens → experts of the first router layer → … → the last, of one stack.

    Ribbons have the colour of the expert they go to; what it dropped comes hatched, with a
    cross at its bar. Generated tokens stand below a rule, in italics with a plus. With a
    selection, its tokens keep their colour as single strands and everything else fades.
    `customdata` of a point is the selection that clicking it makes.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    tokens = trace.sequences[stack].tokens
    layout = flow_layout(layers)
    chosen = covered(selection, layers)
    colors = expert_colors(theme, layers)
    top = _MARGIN["t"] + _DROP_LINE * any(layer.capacity is not None for layer in layers)
    return {
        "data": [
            *_bars(layout, colors, theme, chosen),
            _token_labels(layout, trace, stack, theme, chosen),
            _expert_labels(layout, theme, layers),
            _crosses(layout, theme, chosen),
            hover_tokens(layout, trace, stack, _left(len(layers))),
            hover_flows(layout, layers, tokens),
            hover_nodes(layout, layers, tokens),
        ],
        "layout": {
            **base_layout(theme),
            "hoverdistance": 40,
            "meta": {"least_width": flow_min_width(layers)},
            "height": layout.height + top + _MARGIN["b"],
            "margin": {**_MARGIN, "t": top},
            # A little room on the right, or the last bars would be cut in half.
            "xaxis": {
                "range": [_left(len(layers)), len(layers) * 1.01],
                "visible": False,
                "fixedrange": True,
            },
            "yaxis": {"range": [layout.height, 0], "visible": False, "fixedrange": True},
            "shapes": [
                *_ribbons(layout, colors, theme, chosen, len(tokens)),
                *_hollow_bars(layout, theme),
                *_start_of_generated(layout, trace, stack, theme),
            ],
            "annotations": _headings(layers, theme, trace, stack, layout),
        },
    }


def flow_min_width(layers: tuple[RouterLayer, ...]) -> int:
    """The width in pixels below which the headings of the layers would touch."""
    longest = max(len(block_label(layer, layers)) for layer in layers)
    across = len(layers) - _left(len(layers))
    return max(_LEAST_WIDTH, round(across * max(_LAYER_WIDTH, 10 + 5.5 * longest)))


def _left(layers: int) -> float:
    return -min(_LABELS * layers, _MOST_LABELS)


def _ribbons(
    layout: FlowLayout,
    colors: list[str],
    theme: Theme,
    chosen: np.ndarray | None,
    tokens: int,
) -> list[dict[str, Any]]:
    fills: dict[str, list[str]] = {}
    strokes: dict[str, list[str]] = {}

    def add(ribbon: Ribbon, tints: tuple[str, str, str]) -> None:
        fill, pale, stroke = tints
        fills.setdefault(pale if ribbon.dropped else fill, []).append(_path(ribbon))
        if ribbon.dropped:
            strokes.setdefault(stroke, []).append(_hatching(ribbon))

    faint = (rgba(theme.faded, 0.22), rgba(theme.faded, 0.1), rgba(theme.faded, 0.45))
    usual = [(rgba(color, 0.42), rgba(color, 0.1), color) for color in colors]
    for ribbon in layout.ribbons:
        # A flow of few tokens in a long text is noise at this size: faint, never left out.
        small = ribbon.layer > 0 and len(ribbon.tokens) < _FAINT_SHARE * tokens
        add(ribbon, faint if chosen is not None or small else usual[ribbon.expert])
    if chosen is not None:
        lit = [(rgba(color, 0.85), rgba(color, 0.2), color) for color in colors]
        for strand in layout.strands:
            if chosen[strand.tokens[0]]:
                add(strand, lit[strand.expert])
    return [
        *(
            {**_shape("".join(parts)), "fillcolor": fill, "line": {"width": 0}}
            for fill, parts in fills.items()
        ),
        *(
            {**_shape("".join(parts)), "line": {"color": stroke, "width": 1}}
            for stroke, parts in strokes.items()
        ),
    ]


def _shape(path: str) -> dict[str, Any]:
    return {"type": "path", "path": path, "layer": "below"}


def _path(ribbon: Ribbon) -> str:
    x0, x1 = ribbon.layer, ribbon.layer + 1
    a, b = x0 + BEND, x1 - BEND
    (t0, b0), (t1, b1) = ribbon.left, ribbon.right
    return (
        f"M{x0},{t0:.1f}C{a:g},{t0:.1f} {b:g},{t1:.1f} {x1},{t1:.1f}"
        f"V{b1:.1f}C{b:g},{b1:.1f} {a:g},{b0:.1f} {x0},{b0:.1f}Z"
    )


_HATCHES = [bezier(t) for t in np.linspace(0.02, 0.98, 19)]


def _hatching(ribbon: Ribbon) -> str:
    """Slanting strokes across a ribbon, from its lower edge to its upper a step further."""
    (t0, b0), (t1, b1) = ribbon.left, ribbon.right
    return "".join(
        f"M{ribbon.layer + x0:.3f},{b0 + (b1 - b0) * y0:.1f}"
        f"L{ribbon.layer + x1:.3f},{t0 + (t1 - t0) * y1:.1f}"
        for (x0, y0), (x1, y1) in pairwise(_HATCHES)
    )


def _hollow_bars(layout: FlowLayout, theme: Theme) -> list[dict[str, Any]]:
    """The part of a bar that was dropped: emptied and hatched, one shape per layer."""
    paths: dict[int, list[str]] = {}
    grounds: dict[int, list[str]] = {}
    for node in layout.nodes:
        if node.lost >= node.bottom - 0.05:
            continue
        top, bottom = node.lost, node.bottom
        grounds.setdefault(node.layer, []).append(
            f"M-3,{top:.1f}L3,{top:.1f}L3,{bottom - 1:.1f}L-3,{bottom - 1:.1f}Z"
        )
        paths.setdefault(node.layer, []).extend(
            f"M-3,{min(y + 4, bottom):.1f}L3,{y:.1f}"
            for y in np.arange(top, bottom - 1, _HATCH_STEP)
        )

    def shapes(parts: dict[int, list[str]], style: dict[str, Any]) -> list[dict[str, Any]]:
        # Across in pixels from the bar, down on the axis.
        place = {"type": "path", "xsizemode": "pixel", "layer": "above"}
        return [
            {**place, "xanchor": layer + 1, "path": "".join(those), **style}
            for layer, those in parts.items()
        ]

    return [
        *shapes(grounds, {"fillcolor": theme.ground, "line": {"width": 0}}),
        *shapes(paths, {"line": {"color": theme.hatch, "width": 1}}),
    ]


def _crosses(layout: FlowLayout, theme: Theme, chosen: np.ndarray | None) -> dict[str, Any]:
    """A cross where dropped tokens end, before the bar of the expert without room."""
    nodes = [node for node in layout.nodes if node.lost < node.bottom - 0.05]
    lost = {
        (strand.layer, strand.expert)
        for strand in layout.strands
        if strand.dropped and (chosen is None or chosen[strand.tokens[0]])
    }
    colors = [theme.text if (n.layer, n.expert) in lost else theme.faded for n in nodes]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [node.layer + 1 for node in nodes],
        "y": [round((node.lost + node.bottom) / 2, 1) for node in nodes],
        "text": ["×  "] * len(nodes),
        "textposition": "middle left",
        "textfont": {"size": 15, "color": colors},
        "hoverinfo": "skip",
    }


def _bars(
    layout: FlowLayout, colors: list[str], theme: Theme, chosen: np.ndarray | None
) -> list[dict[str, Any]]:
    lines: dict[str, tuple[list[float | None], list[float | None]]] = {}
    for node in layout.nodes:
        if len(node.tokens) == 0:
            color, top, bottom = theme.rule, node.middle - 1, node.middle + 1
        else:
            lit = chosen is None or bool(chosen[node.tokens].any())
            color = colors[node.expert] if lit else theme.faded
            top, bottom = node.top, node.bottom
        x, y = lines.setdefault(color, ([], []))
        x += [node.layer + 1, node.layer + 1, None]
        y += [round(top, 1), round(bottom, 1), None]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": y,
            "line": {"color": color, "width": 9},
            "hoverinfo": "skip",
        }
        for color, (x, y) in lines.items()
    ]


def _token_labels(
    layout: FlowLayout,
    trace: RoutingTrace,
    stack: Stack,
    theme: Theme,
    chosen: np.ndarray | None,
) -> dict[str, Any]:
    sequence = trace.sequences[stack]
    labels, colors = [], []
    for first, last in layout.rows:
        text = token_label(sequence.tokens[first])
        text = text if first == last else f"{text} +{last - first}"
        labels.append(f"<i>+ {text}</i>" if sequence.generated[first] else text)
        quiet = chosen is not None and not chosen[first : last + 1].any()
        colors.append(theme.muted if sequence.special[first] or quiet else theme.text)
    return {
        "type": "scatter",
        "mode": "text",
        "x": [0] * len(labels),
        "y": [round(layout.row_middle(row), 1) for row in range(len(labels))],
        "text": [f"{label} " for label in labels],
        "textposition": "middle left",
        "textfont": {"family": MONO, "size": 12, "color": colors},
        "hoverinfo": "skip",
    }


def _start_of_generated(
    layout: FlowLayout, trace: RoutingTrace, stack: Stack, theme: Theme
) -> list[dict[str, Any]]:
    """A rule between the last token that was given and the first that the model made."""
    generated = trace.sequences[stack].generated
    row = next((i for i, (first, _) in enumerate(layout.rows) if generated[first]), 0)
    if row == 0:
        return []
    y = row * layout.height / len(layout.rows)
    left = _left(len(trace.stack_layers(stack)))
    line = {"color": theme.muted, "width": 1}
    return [{"type": "line", "x0": left, "x1": 0, "y0": y, "y1": y, "line": line}]


def _expert_labels(
    layout: FlowLayout, theme: Theme, layers: tuple[RouterLayer, ...]
) -> dict[str, Any]:
    shown = [
        node
        for node in layout.nodes
        if layers[node.layer].num_experts <= 16 or node.bottom - node.top >= 11
    ]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [node.layer + 1 for node in shown],
        "y": [round(node.middle, 1) for node in shown],
        "text": [f"  {node.expert}" for node in shown],
        "textposition": "middle right",
        "textfont": {
            "size": 12,
            "color": [theme.text if len(node.tokens) else theme.muted for node in shown],
        },
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _headings(
    layers: tuple[RouterLayer, ...],
    theme: Theme,
    trace: RoutingTrace,
    stack: Stack,
    layout: FlowLayout,
) -> list[dict[str, Any]]:
    heading = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "yshift": 6}
    sequence = trace.sequences[stack]
    tokens, rows = len(sequence), len(layout.rows)
    first = "token" if tokens == rows else f"{-(-tokens // rows)} tokens a row"
    small = _small(theme.muted)
    if layout.ranks is not None:
        first += f"<br>{small(f'first of {layers[0].top_k} choices')}"
    if sequence.generated.any():
        first += f"<br>{small('<i>+ generated</i>')}"
    return [
        {**heading, "x": 0, "xanchor": "right", "align": "right", "text": first},
        *(
            {
                **heading,
                "x": index + 1,
                "xanchor": "center",
                "text": f"{layer_label(index)}<br>{small(block_label(layer, layers))}"
                + _drops(layer, _small(theme.text)),
            }
            for index, layer in enumerate(layers)
        ),
    ]


def _drops(layer: RouterLayer, small: Callable[[str], str]) -> str:
    if layer.capacity is None:
        return ""
    count = int(layer.dropped.sum())
    # An empty line keeps the headings of all layers on one height.
    return "<br>" + small(f"× {count} dropped" if count else "\u00a0")


def _small(color: str) -> Callable[[str], str]:
    return lambda text: f'<span style="color:{color};font-size:10px">{text}</span>'
