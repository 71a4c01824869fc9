"""The flow figure: which expert takes each token, through all router layers.

A Sankey diagram drawn with Plotly shapes, one path per colour: painting is about three
times as fast as `go.Sankey`'s, labels stand outside, and a single token can be followed.
Points without a mark carry the hover texts and the clicks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.flow_layout import FlowLayout, Node, Ribbon, flow_layout
from app.figures.labels import layer_label, layer_place, probability, token_label, token_list
from app.figures.selection import Selection, covered
from app.figures.theme import LIGHT, MONO, Theme, base_layout, expert_colors, rgba
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_FAINT_SHARE = 0.02
_MARGIN = {"l": 4, "r": 72, "t": 44, "b": 8, "pad": 0}
# The labels stand inside the plot, so that pointing at them works: this share of its width.
_LABELS = 0.16
_BEND = 0.45


def flow_figure(
    trace: RoutingTrace,
    theme: Theme = LIGHT,
    selection: Selection | None = None,
    stack: Stack | None = None,
) -> dict[str, Any]:
    """Tokens → experts of the first router layer → … → the last, of one stack.

    Ribbons have the colour of the expert they go to. With a selection, its tokens keep
    their colour as single strands and everything else fades. `customdata` of a point is
    the selection that clicking it makes.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    tokens = trace.sequences[stack].tokens
    layout = flow_layout(layers)
    chosen = covered(selection, layers)
    colors = expert_colors(theme, layers)
    return {
        "data": [
            *_bars(layout, colors, theme, chosen),
            _token_labels(layout, tokens, trace, stack, theme, chosen),
            _expert_labels(layout, theme, layers),
            _hover_tokens(layout, trace, stack, -_LABELS * len(layers)),
            _hover_flows(layout, layers, tokens),
            _hover_nodes(layout, layers, tokens),
        ],
        "layout": {
            **base_layout(theme),
            "hoverdistance": 40,
            "height": layout.height + _MARGIN["t"] + _MARGIN["b"],
            "margin": _MARGIN,
            "xaxis": {"range": _x_range(len(layers)), "visible": False, "fixedrange": True},
            "yaxis": {"range": [layout.height, 0], "visible": False, "fixedrange": True},
            "shapes": _ribbons(layout, colors, theme, chosen, len(tokens)),
            "annotations": _headings(layers, theme, len(tokens), len(layout.rows)),
        },
    }


def _ribbons(
    layout: FlowLayout,
    colors: list[str],
    theme: Theme,
    chosen: np.ndarray | None,
    tokens: int,
) -> list[dict[str, Any]]:
    paths: dict[str, list[str]] = {}

    def add(fill: str, ribbon: Ribbon) -> None:
        paths.setdefault(fill, []).append(_path(ribbon))

    faint = rgba(theme.faded, 0.22)
    for ribbon in layout.ribbons:
        # A flow of few tokens in a long text is noise at this size: faint, never left out.
        small = ribbon.layer > 0 and len(ribbon.tokens) < _FAINT_SHARE * tokens
        color = colors[ribbon.expert]
        add(faint if chosen is not None or small else rgba(color, 0.42), ribbon)
    if chosen is not None:
        for strand in layout.strands:
            if chosen[strand.tokens[0]]:
                add(rgba(colors[strand.expert], 0.85), strand)
    return [
        {
            "type": "path",
            "path": "".join(parts),
            "fillcolor": fill,
            "line": {"width": 0},
            "layer": "below",
        }
        for fill, parts in paths.items()
    ]


def _path(ribbon: Ribbon) -> str:
    x0, x1 = ribbon.layer, ribbon.layer + 1
    a, b = x0 + _BEND, x1 - _BEND
    (t0, b0), (t1, b1) = ribbon.left, ribbon.right
    return (
        f"M{x0},{t0:.1f}C{a:g},{t0:.1f} {b:g},{t1:.1f} {x1},{t1:.1f}"
        f"V{b1:.1f}C{b:g},{b1:.1f} {a:g},{b0:.1f} {x0},{b0:.1f}Z"
    )


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
    tokens: tuple[str, ...],
    trace: RoutingTrace,
    stack: Stack,
    theme: Theme,
    chosen: np.ndarray | None,
) -> dict[str, Any]:
    special = trace.sequences[stack].special
    labels, colors = [], []
    for first, last in layout.rows:
        text = token_label(tokens[first])
        labels.append(text if first == last else f"{text} +{last - first}")
        quiet = special[first] or (chosen is not None and not chosen[first : last + 1].any())
        colors.append(theme.muted if quiet else theme.text)
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


def _x_range(layers: int) -> list[float]:
    # A little room on the right, or the last bars would be cut in half.
    return [-_LABELS * layers, layers * 1.01]


def _hover_tokens(
    layout: FlowLayout, trace: RoutingTrace, stack: Stack, left: float
) -> dict[str, Any]:
    places = [left * share for share in (0.7, 0.4, 0.1)]
    count = len(layout.rows)
    return _hover_points(
        [round(x, 3) for x in places for _ in range(count)],
        [round(layout.row_middle(row), 1) for _ in places for row in range(count)],
        [_row_hover(trace, stack, row) for _ in places for row in layout.rows],
        [{"token": first} for _ in places for first, _ in layout.rows],
    )


def _row_hover(trace: RoutingTrace, stack: Stack, row: tuple[int, int]) -> str:
    first, last = row
    sequence = trace.sequences[stack]
    if first != last:
        return f"tokens {first}–{last}: {token_list(sequence.tokens[first : last + 1])}"
    path = " → ".join(
        "+".join(map(str, layer.experts[first])) + ("×" if layer.dropped[first] else "")
        for layer in trace.stack_layers(stack)
    )
    return f"token {first} «{token_label(sequence.tokens[first])}»<br>experts {path}"


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


def _hover_flows(
    layout: FlowLayout, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]
) -> dict[str, Any]:
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    data: list[dict[str, int]] = []
    for ribbon in layout.ribbons:
        text = _flow_text(ribbon, layers, tokens)
        start, end = sum(ribbon.left) / 2, sum(ribbon.right) / 2
        selected = {"layer": ribbon.layer, "expert": ribbon.expert}
        if ribbon.layer == 0:
            selected = {"token": int(ribbon.tokens[0]), "layer": 0}
        else:
            selected["source"] = ribbon.source
        for t in (0.2, 0.4, 0.6, 0.8):
            across, along = _bezier(t)
            x.append(round(ribbon.layer + across, 3))
            y.append(round(start + (end - start) * along, 1))
            texts.append(text)
            data.append(selected)
    return _hover_points(x, y, texts, data)


def _bezier(t: float) -> tuple[float, float]:
    """The point at `t` of the curve that `_path` draws, across and down, both in [0, 1]."""
    late = 3 * (1 - t) * t**2
    across = 3 * (1 - t) ** 2 * t * _BEND + late * (1 - _BEND) + t**3
    return across, late + t**3


def _flow_text(ribbon: Ribbon, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]) -> str:
    layer = layers[ribbon.layer]
    target = f"{layer_label(ribbon.layer).lower()}, expert {ribbon.expert}"
    mean = float(layer.probabilities[ribbon.tokens, ribbon.expert].mean())
    names = token_list([tokens[token] for token in ribbon.tokens])
    count = len(ribbon.tokens)
    dropped = int(layer.dropped[ribbon.tokens].sum())
    drops = f"<br>{dropped} dropped (over capacity {layer.capacity})" if dropped else ""
    if count == 1:
        number = int(ribbon.tokens[0])
        return f"token {number} «{names}» → {target}<br>p {probability(mean)}{drops}"
    source = "" if ribbon.layer == 0 else f"layer {ribbon.layer}, expert {ribbon.source} → "
    return f"{source}{target}<br>{count} tokens, mean p {probability(mean)}<br>{names}{drops}"


def _hover_nodes(
    layout: FlowLayout, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]
) -> dict[str, Any]:
    points = [
        (node, float(y))
        for node in layout.nodes
        for y in np.linspace(node.top, node.bottom, 2 + int((node.bottom - node.top) // 30))
    ]
    texts = {id(node): node_text(node, layers[node.layer], tokens) for node in layout.nodes}
    return _hover_points(
        [node.layer + 1.0 for node, _ in points],
        [round(y, 1) for _, y in points],
        [texts[id(node)] for node, _ in points],
        [{"layer": node.layer, "expert": node.expert} for node, _ in points],
    )


def node_text(node: Node, layer: RouterLayer, tokens: tuple[str, ...]) -> str:
    """What pointing at an expert tells: place, count, share, mean probability, tokens."""
    head = f"{layer_label(node.layer)} ({layer_place(layer)}), expert {node.expert}"
    count = len(node.tokens)
    if not count:
        return f"{head}<br>no token of {len(tokens)}"
    mean = float(layer.probabilities[node.tokens, node.expert].mean())
    names = token_list([tokens[token] for token in node.tokens])
    share = count / (len(tokens) * layer.top_k)
    return (
        f"{head}<br>{count} of {len(tokens)} tokens ({share:.0%}), "
        f"mean p {probability(mean)}<br>{names}"
    )


def _hover_points(
    x: list[float], y: list[float], texts: list[str], data: list[dict[str, int]]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "none",
        "x": x,
        "y": y,
        "hovertext": texts,
        "customdata": data,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _headings(
    layers: tuple[RouterLayer, ...], theme: Theme, tokens: int, rows: int
) -> list[dict[str, Any]]:
    heading = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "yshift": 6}
    together = f"{-(-tokens // rows)} tokens a row"
    return [
        {**heading, "x": 0, "xanchor": "right", "text": "token" if tokens == rows else together},
        *(
            {
                **heading,
                "x": index + 1,
                "xanchor": "center",
                "text": f"{layer_label(index)}<br>"
                f'<span style="color:{theme.muted};font-size:10px">block {layer.block}</span>',
            }
            for index, layer in enumerate(layers)
        ),
    ]
