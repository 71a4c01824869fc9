"""Where every node and ribbon of the flow figure stands. Pure geometry, in pixels downwards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.routing.trace import RouterLayer

TOKEN_HEIGHT = 14
MOST_ROWS = 120
_LEAST_ROWS = 20
_LABELLED_EXPERTS = 16
_LABEL_SLOT = 15
_BARE_SLOT = 3

# Source (a row or an expert), expert, token.
Link = tuple[int, int, int]


@dataclass(frozen=True)
class Node:
    """An expert of a layer: its bar from `top` to `bottom`, and how many tokens chose it."""

    layer: int
    expert: int
    top: float
    bottom: float
    tokens: NDArray[np.int64]

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Ribbon:
    """Tokens that go from one place to an expert of `layer`.

    `source` is a row of tokens when `layer` is 0, else an expert of the layer before.
    Edges are pixels: `left` and `right` are (top, bottom).
    """

    layer: int
    source: int
    expert: int
    left: tuple[float, float]
    right: tuple[float, float]
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class FlowLayout:
    """Geometry of a whole figure: its height, rows (first and last token of each), parts.

    `strands` are ribbons of one token each; `ribbons` are the strands that share their ends.
    """

    height: float
    rows: list[tuple[int, int]]
    nodes: list[Node]
    strands: list[Ribbon]
    ribbons: list[Ribbon]

    def row_middle(self, row: int) -> float:
        return (row + 0.5) * self.height / len(self.rows)


def flow_layout(layers: tuple[RouterLayer, ...]) -> FlowLayout:
    """Lays out the flows of T tokens through the router layers of one stack.

    Each token has the same height everywhere, shared equally by its k experts. Above
    `MOST_ROWS` tokens, neighbours share a row. The height grows in steps, so that the
    figure keeps its size while somebody types.
    """
    tokens = len(layers[0].logits)
    per_row = math.ceil(tokens / MOST_ROWS)
    rows = [(first, min(first + per_row, tokens) - 1) for first in range(0, tokens, per_row)]
    height = float(max(_LEAST_ROWS, 10 * math.ceil(len(rows) / 10)) * TOKEN_HEIGHT)

    nodes = [node for index, layer in enumerate(layers) for node in _nodes(index, layer, height)]
    strands = _strands(layers, nodes, rows, height)
    return FlowLayout(height, rows, nodes, strands, _merge(strands))


def _nodes(index: int, layer: RouterLayer, height: float) -> list[Node]:
    experts, k = layer.num_experts, layer.top_k
    labelled = experts <= _LABELLED_EXPERTS
    slot = _LABEL_SLOT if labelled else _BARE_SLOT
    unit = (height - slot * experts) / (len(layer.experts) * k)
    nodes, y = [], 0.0
    for expert in range(experts):
        chosen = np.flatnonzero((layer.experts == expert).any(axis=1))
        size = len(chosen) * unit
        nodes.append(Node(index, expert, y + slot / 2, y + slot / 2 + size, chosen))
        y += slot + size
    return nodes


def _strands(
    layers: tuple[RouterLayer, ...],
    nodes: list[Node],
    rows: list[tuple[int, int]],
    height: float,
) -> list[Ribbon]:
    place = {(node.layer, node.expert): node for node in nodes}
    row_of = np.repeat(np.arange(len(rows)), [last - first + 1 for first, last in rows])

    def extent(layer: int) -> Callable[[int], tuple[float, float]]:
        return lambda which: _extent(layer, which, place, rows, height)

    strands: list[Ribbon] = []
    for index, layer in enumerate(layers):
        # At its source a strand stands by where it goes, at its end by where it comes from:
        # strands that share both then lie side by side and read as one ribbon.
        links: list[Link] = sorted(
            (int(source), int(expert), token)
            for token in range(len(layer.experts))
            for source in ([row_of[token]] if index == 0 else layers[index - 1].experts[token])
            for expert in layer.experts[token]
        )
        left = _stack(links, 0, extent(index - 1))
        right = _stack(sorted(links, key=lambda link: (link[1], link[0])), 1, extent(index))
        strands += [
            Ribbon(index, link[0], link[1], left[link], right[link], np.array([link[2]]))
            for link in links
        ]
    return strands


def _extent(
    layer: int,
    which: int,
    place: dict[tuple[int, int], Node],
    rows: list[tuple[int, int]],
    height: float,
) -> tuple[float, float]:
    if layer >= 0:
        node = place[layer, which]
        return node.top, node.bottom
    size = height / len(rows)
    gap = min(2.0, size / 6)
    return which * size + gap / 2, (which + 1) * size - gap / 2


def _stack(
    links: list[Link], end: int, extent: Callable[[int], tuple[float, float]]
) -> dict[Link, tuple[float, float]]:
    """Edges of each link inside what it touches at `end`, one below the other as given."""
    counts = Counter(link[end] for link in links)
    used: Counter[int] = Counter()
    edges = {}
    for link in links:
        top, bottom = extent(link[end])
        step = (bottom - top) / counts[link[end]]
        position = used[link[end]]
        edges[link] = (top + position * step, top + (position + 1) * step)
        used[link[end]] += 1
    return edges


def _merge(strands: list[Ribbon]) -> list[Ribbon]:
    groups: dict[tuple[int, int, int], list[Ribbon]] = {}
    for strand in strands:
        groups.setdefault((strand.layer, strand.source, strand.expert), []).append(strand)
    return [
        Ribbon(
            layer,
            source,
            expert,
            (members[0].left[0], members[-1].left[1]),
            (members[0].right[0], members[-1].right[1]),
            np.concatenate([member.tokens for member in members]),
        )
        for (layer, source, expert), members in groups.items()
    ]
