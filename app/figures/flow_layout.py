"""Where every node and ribbon of the flow figure stands. Pure geometry, in pixels downwards."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.routing.trace import RouterLayer

TOKEN_HEIGHT = 14
MOST_ROWS = 120
# How far a ribbon runs level before it bends, as a share of the way to the next layer.
BEND = 0.45
# Up to this k, strands join each expert of a token with each of its next layer's.
MOST_PAIRED = 2
# Above this many strands only the first choices are drawn.
MOST_STRANDS = 8000
_LEAST_ROWS = 20
_LABELLED_EXPERTS = 16
_LABEL_SLOT = 15
_BARE_SLOT = 3
# What bars share at least, of the height; with very many experts the gaps give way.
_BARS = 160

# Source (a row or an expert), expert, whether it was dropped there, token.
Link = tuple[int, int, bool, int]


@dataclass(frozen=True)
class Node:
    """An expert of a layer: its bar from `top` to `bottom`, and the tokens that chose it.

    Those over its capacity stand last, from `lost` down: it dropped them.
    """

    layer: int
    expert: int
    top: float
    bottom: float
    tokens: NDArray[np.int64]
    lost: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


class Ribbon(NamedTuple):
    """Tokens that go from one place to an expert of `layer`.

    `source` is a row of tokens when `layer` is 0, else an expert of the layer before.
    Edges are pixels: `left` and `right` are (top, bottom). `dropped`: the expert had no room
    for them.
    """

    layer: int
    source: int
    expert: int
    left: tuple[float, float]
    right: tuple[float, float]
    tokens: tuple[int, ...]
    dropped: bool = False


@dataclass(frozen=True)
class FlowLayout:
    """Geometry of a whole figure: its height, rows (first and last token of each), parts.

    `strands` are ribbons of one token each; `ribbons` are the strands that share their ends.
    `ranks`: how many choices of a token are drawn, None for all.
    """

    height: float
    rows: list[tuple[int, int]]
    nodes: list[Node]
    strands: list[Ribbon]
    ribbons: list[Ribbon]
    ranks: int | None

    def row_middle(self, row: int) -> float:
        return (row + 0.5) * self.height / len(self.rows)


def bezier(t: float) -> tuple[float, float]:
    """The point at `t` of a ribbon's edge, across and down, both in [0, 1]."""
    late = 3 * (1 - t) * t**2
    across = 3 * (1 - t) ** 2 * t * BEND + late * (1 - BEND) + t**3
    return across, late + t**3


def flow_layout(layers: tuple[RouterLayer, ...]) -> FlowLayout:
    """Lays out the flows of T tokens through the router layers of one stack.

    Each token has the same height everywhere, shared equally by its k experts. Above
    `MOST_ROWS` tokens, neighbours share a row; above `MOST_PAIRED` experts a token, strands
    join experts of the same rank; above `MOST_STRANDS` only first choices are drawn. The
    height grows in steps, so that the figure keeps its size while somebody types.
    """
    tokens = len(layers[0].logits)
    per_row = math.ceil(tokens / MOST_ROWS)
    rows = [(first, min(first + per_row, tokens) - 1) for first in range(0, tokens, per_row)]
    wanted = max(_slots(layer.num_experts) for layer in layers)
    steps = max(_LEAST_ROWS, math.ceil(len(rows) / 10) * 10, math.ceil(wanted / TOKEN_HEIGHT))
    height = float(steps * TOKEN_HEIGHT)

    ranks = 1 if _count_strands(layers) > MOST_STRANDS and _most_chosen(layers) > 1 else None
    nodes = [
        node for index, layer in enumerate(layers) for node in _nodes(index, layer, height, ranks)
    ]
    strands = _strands(layers, nodes, rows, height, ranks)
    return FlowLayout(height, rows, nodes, strands, _merge(strands), ranks)


def _most_chosen(layers: tuple[RouterLayer, ...]) -> int:
    return max(layer.top_k for layer in layers)


def _count_strands(layers: tuple[RouterLayer, ...]) -> int:
    k = _most_chosen(layers)
    return len(layers[0].experts) * len(layers) * (k if by_rank(k, k) else k * k)


def _slots(experts: int) -> float:
    """The height that so many experts ask for, however few the tokens."""
    if experts <= _LABELLED_EXPERTS:
        return experts * _LABEL_SLOT + _BARS
    return min(experts * _BARE_SLOT, 3 * _BARS) + _BARS


def _nodes(index: int, layer: RouterLayer, height: float, ranks: int | None) -> list[Node]:
    experts, picked = layer.num_experts, layer.experts[:, :ranks]
    labelled = experts <= _LABELLED_EXPERTS
    slot = _LABEL_SLOT if labelled else min(_BARE_SLOT, 3 * _BARS / experts)
    unit = (height - slot * experts) / picked.size
    nodes, y = [], 0.0
    for expert in range(experts):
        chosen = np.flatnonzero((picked == expert).any(axis=1))
        size = len(chosen) * unit
        top, bottom = y + slot / 2, y + slot / 2 + size
        lost = bottom - int(layer.dropped[chosen].sum()) * unit
        nodes.append(Node(index, expert, top, bottom, chosen, lost))
        y += slot + size
    return nodes


def _strands(
    layers: tuple[RouterLayer, ...],
    nodes: list[Node],
    rows: list[tuple[int, int]],
    height: float,
    ranks: int | None,
) -> list[Ribbon]:
    place = {(node.layer, node.expert): node for node in nodes}
    row_of = np.repeat(np.arange(len(rows)), [last - first + 1 for first, last in rows])

    def extent(layer: int) -> Callable[[int], tuple[float, float]]:
        return lambda which: _extent(layer, which, place, rows, height)

    strands: list[Ribbon] = []
    for index, layer in enumerate(layers):
        # At its source a strand stands by where it goes, at its end by where it comes from:
        # strands that share both then lie side by side and read as one ribbon. Dropped ones
        # come last at their end, below all that the expert processed.
        sources = row_of[:, None] if index == 0 else layers[index - 1].experts[:, :ranks]
        links: list[Link] = sorted(
            (source, expert, dropped, token)
            for token, (these, those, dropped) in enumerate(
                zip(
                    sources.tolist(),
                    layer.experts[:, :ranks].tolist(),
                    layer.dropped.tolist(),
                    strict=True,
                )
            )
            for source, expert in _pairs(these, those)
        )
        left = _stack(links, 0, extent(index - 1))
        right = _stack(
            sorted(links, key=lambda link: (link[1], link[2], link[0])), 1, extent(index)
        )
        strands += [
            Ribbon(index, link[0], link[1], left[link], right[link], (link[3],), link[2])
            for link in links
        ]
    return strands


def by_rank(before: int, after: int) -> bool:
    """Whether strands join experts of one rank only: all k × k pairs are too many to read."""
    return before == after > MOST_PAIRED


def _pairs(sources: list[int], experts: list[int]) -> Iterable[tuple[int, int]]:
    if by_rank(len(sources), len(experts)):
        return zip(sources, experts, strict=True)
    return product(sources, experts)


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
    rooms = {which: extent(which) for which in counts}
    used: Counter[int] = Counter()
    edges = {}
    for link in links:
        which = link[end]
        top, bottom = rooms[which]
        step = (bottom - top) / counts[which]
        position = used[which]
        edges[link] = (top + position * step, top + (position + 1) * step)
        used[which] = position + 1
    return edges


def _merge(strands: list[Ribbon]) -> list[Ribbon]:
    groups: dict[tuple[int, int, int, bool], list[Ribbon]] = {}
    for strand in strands:
        ends = (strand.layer, strand.source, strand.expert, strand.dropped)
        groups.setdefault(ends, []).append(strand)
    return [
        Ribbon(
            layer,
            source,
            expert,
            (members[0].left[0], members[-1].left[1]),
            (members[0].right[0], members[-1].right[1]),
            tuple(token for member in members for token in member.tokens),
            dropped,
        )
        for (layer, source, expert, dropped), members in groups.items()
    ]
