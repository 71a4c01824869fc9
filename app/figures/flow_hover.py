"""What pointing at a part of the flow figure tells, and what clicking it selects."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from app.figures.flow_layout import FlowLayout, Node, Ribbon, bezier, by_rank
from app.figures.labels import (
    count_of,
    dropped_text,
    expert_path,
    layer_label,
    layer_place,
    path_name,
    probability,
    score_word,
    token_label,
    token_list,
)
from app.routing.trace import RouterLayer, RoutingTrace, Stack

# A path through more layers than this is cut into lines.
_PATH_LINE = 16
# Of more ribbons than this fewer points are sensitive, or the figure gets slow.
_MANY = 400


def hover_tokens(
    layout: FlowLayout, trace: RoutingTrace, stack: Stack, left: float
) -> dict[str, Any]:
    """Over the token labels, which reach to `left`."""
    places = [left * share for share in (0.7, 0.4, 0.1)]
    count = len(layout.rows)
    texts = [_row_text(trace, stack, row) for row in layout.rows]
    return _points(
        [round(x, 3) for x in places for _ in range(count)],
        [round(layout.row_middle(row), 1) for _ in places for row in range(count)],
        texts * len(places),
        [{"token": first} for _ in places for first, _ in layout.rows],
    )


def _row_text(trace: RoutingTrace, stack: Stack, row: tuple[int, int]) -> str:
    first, last = row
    sequence = trace.sequences[stack]
    if first != last:
        return f"tokens {first}–{last}: {token_list(sequence.tokens[first : last + 1])}"
    layers = trace.stack_layers(stack)
    lines = [
        expert_path(layers[start : start + _PATH_LINE], first)
        for start in range(0, len(layers), _PATH_LINE)
    ]
    generated = ", generated" if sequence.generated[first] else ""
    drops = sum(bool(layer.dropped[first]) for layer in layers)
    lost = f"<br>dropped in {count_of(drops, 'layer')} (×)" if drops else ""
    return (
        f"token {first} «{token_label(sequence.tokens[first])}»{generated}"
        f"<br>{path_name(layers)} {' →<br>'.join(lines)}{lost}"
    )


def hover_flows(
    layout: FlowLayout, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]
) -> dict[str, Any]:
    """Along the ribbons."""
    many = len(layout.ribbons) > _MANY
    steps = [bezier(t) for t in ((0.35, 0.65) if many else (0.2, 0.4, 0.6, 0.8))]
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    data: list[dict[str, int]] = []
    scores = [layer.probabilities.tolist() for layer in layers]
    for ribbon in layout.ribbons:
        start, end = sum(ribbon.left) / 2, sum(ribbon.right) / 2
        selected = {"layer": ribbon.layer, "expert": ribbon.expert}
        if ribbon.layer == 0:
            selected = {"token": ribbon.tokens[0], "layer": 0}
        else:
            selected["source"] = ribbon.source
        x += [round(ribbon.layer + across, 3) for across, _ in steps]
        y += [round(start + (end - start) * along, 1) for _, along in steps]
        mean = fmean(scores[ribbon.layer][token][ribbon.expert] for token in ribbon.tokens)
        texts += [_flow_text(ribbon, layers, tokens, mean)] * len(steps)
        data += [selected] * len(steps)
    return _points(x, y, texts, data)


def _flow_text(
    ribbon: Ribbon, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...], mean: float
) -> str:
    layer = layers[ribbon.layer]
    target = f"{layer_label(ribbon.layer).lower()}, expert {ribbon.expert}"
    score = f"{score_word(layer)} {probability(mean)}"
    names = token_list([tokens[token] for token in ribbon.tokens])
    count = len(ribbon.tokens)
    if ribbon.layer == 0 and count == 1:
        lost = f"<br>{dropped_text(layer)}" if ribbon.dropped else ""
        return f"token {ribbon.tokens[0]} «{names}» → {target}<br>{score}{lost}"
    before = layers[ribbon.layer - 1]
    source = "" if ribbon.layer == 0 else f"layer {ribbon.layer}, expert {ribbon.source} → "
    rank = " at the same rank" if ribbon.layer and by_rank(before.top_k, layer.top_k) else ""
    lost = f"<br>{count} {dropped_text(layer)}" if ribbon.dropped else ""
    mean_ = "mean " if count > 1 else ""
    return f"{source}{target}<br>{count_of(count, 'token')}{rank}, {mean_}{score}<br>{names}{lost}"


def hover_nodes(
    layout: FlowLayout, layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]
) -> dict[str, Any]:
    """Along the bars of the experts."""
    points = [
        (node, float(y))
        for node in layout.nodes
        for y in np.linspace(node.top, node.bottom, 2 + int((node.bottom - node.top) // 30))
    ]
    rank = "" if layout.ranks is None else " as first choice"
    texts = {id(node): _node_text(node, layers, tokens, rank) for node in layout.nodes}
    return _points(
        [node.layer + 1.0 for node, _ in points],
        [round(y, 1) for _, y in points],
        [texts[id(node)] for node, _ in points],
        [{"layer": node.layer, "expert": node.expert} for node, _ in points],
    )


def _node_text(
    node: Node, layers: Sequence[RouterLayer], tokens: tuple[str, ...], rank: str
) -> str:
    """What pointing at an expert tells: place, count, share, mean probability, tokens."""
    layer = layers[node.layer]
    head = f"{layer_label(node.layer)} ({layer_place(layer, layers)}), expert {node.expert}"
    count = len(node.tokens)
    if not count:
        return f"{head}<br>no token of {len(tokens)}{rank}"
    mean = float(layer.probabilities[node.tokens, node.expert].mean())
    names = token_list([tokens[token] for token in node.tokens])
    share = f"({count / len(tokens):.0%})"
    drops = int(layer.dropped[node.tokens].sum())
    lost = f"<br>{drops} {dropped_text(layer)}" if drops else ""
    return (
        f"{head}<br>{count} of {count_of(len(tokens), 'token')}{rank} {share}, "
        f"mean {score_word(layer)} {probability(mean)}<br>{names}{lost}"
    )


def _points(
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
