"""What recurs in a stack: whole paths, tokens that occur again, experts chosen together."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from dash import html
from dash.development.base_component import Component

from app.components import links
from app.figures.labels import count_of, layer_label, number, plain_label
from app.routing.metrics import (
    co_activation,
    rank_adjacent_co_activation,
    specialisation,
    trace_paths,
)
from app.routing.references import path_chance
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_LISTED = 5
_WORDS = 6
_LAYERS = 8


def habits(trace: RoutingTrace, stack: Stack) -> list[Component]:
    """Paths through all layers, expert of repeated tokens, and co-activation for k ≥ 2."""
    layers = trace.stack_layers(stack)
    tokens = trace.sequences[stack].tokens
    return [
        html.Dl(
            [
                html.Dt(_link("Paths through all router layers", "paths")),
                html.Dd(_paths(layers)),
                html.Dt("Most frequent paths"),
                html.Dd(_frequent(layers, tokens)),
                html.Dt(_link("Tokens that occur again", "specialisation")),
                html.Dd(_again(trace, stack)),
                html.Dt(_link("Experts chosen together", "co-activation")),
                html.Dd(_together(layers)),
            ],
            className="facts",
        )
    ]


def _link(text: str, anchor: str) -> html.A:
    return html.A(text, href=links.to(f"/metrics#{anchor}"))


def _paths(layers: tuple[RouterLayer, ...]) -> str:
    found, chance = trace_paths(layers), path_chance(layers)
    top = found.coverage
    return (
        f"{count_of(found.distinct, 'distinct path')} of {count_of(found.n, 'token')}; layers "
        f"shuffled apart give {number(chance.distinct)}. Entropy {number(found.entropy_bits)} "
        f"bits, shuffled {number(chance.entropy_bits)}, log₂ n {number(math.log2(found.n))}. "
        f"The most frequent path takes {top[0]:.0%} of the tokens, the first {len(top)} take "
        f"{top[-1]:.0%}."
    )


def _frequent(layers: tuple[RouterLayer, ...], tokens: tuple[str, ...]) -> list[Component]:
    names = [_path(layers, token) for token in range(len(tokens))]
    often = [(path, n) for path, n in Counter(names).most_common(_LISTED) if n > 1]
    if not often:
        return [html.Span("no path is taken twice")]
    return [
        html.Div(
            [
                html.Strong(path),
                f" {count_of(n, 'token')} ",
                html.Span(
                    [
                        html.Code(plain_label(tokens[t], 12))
                        for t in [t for t, name in enumerate(names) if name == path][:_WORDS]
                    ],
                    className="chips",
                ),
            ]
        )
        for path, n in often
    ]


def _path(layers: tuple[RouterLayer, ...], token: int) -> str:
    return " → ".join("+".join(map(str, sorted(layer.experts[token]))) for layer in layers)


def _again(trace: RoutingTrace, stack: Stack) -> list[Component]:
    """Vocabulary specialisation of the tokens that occur more than once, layer by layer."""
    sequence = trace.sequences[stack]
    _ids, place, times = np.unique(sequence.token_ids, return_inverse=True, return_counts=True)
    often = [int(i) for i in np.argsort(-times, kind="stable") if times[i] > 1][:_LISTED]
    if not often:
        return [html.Span("no token occurs twice")]
    lines: list[Component] = []
    for label in often:
        rows = np.flatnonzero(place == label)
        shares = []
        for index, layer in enumerate(trace.stack_layers(stack)):
            found = specialisation(
                np.zeros(len(rows), dtype=np.int64), layer.experts[rows], 1, layer.num_experts
            ).share[0]
            best = int(found.argmax())
            shares.append(f"{layer_label(index).lower()} expert {best} {found[best]:.0%}")
        word = plain_label(sequence.tokens[rows[0]], 12)
        more = len(shares) - _LAYERS
        tail = f"; {count_of(more, 'more layer')} in the run's metrics.json" if more > 0 else ""
        told = f" n = {len(rows)}: {'; '.join(shares[:_LAYERS])}{tail}"
        lines.append(html.Div([html.Code(word), told]))
    first = trace.stack_layers(stack)[0]
    lines.append(
        html.Small(
            f"Share of a token's occurrences that its commonest expert took; an expert picked in "
            f"advance gets k/N = {first.top_k / first.num_experts:.1%} by chance, the commonest "
            "more, and much more when n is small."
        )
    )
    return lines


def _together(layers: tuple[RouterLayer, ...]) -> list[Component]:
    """The pairs of experts that stand out most, by share and by how many tokens tell it."""
    pairs: list[tuple[float, str]] = []
    for index, layer in enumerate(layers):
        if layer.top_k < 2:
            continue
        shares = co_activation(layer.experts, layer.num_experts)
        adjacent = rank_adjacent_co_activation(layer.experts, layer.num_experts)
        chance = (layer.top_k - 1) / (layer.num_experts - 1)
        for i, j in np.argwhere(np.nan_to_num(shares) > 0).tolist():
            n, share = int((layer.experts == i).sum()), float(shares[i, j])
            said = (
                f"{layer_label(index)}: of {count_of(n, 'token')} of expert {i}, {share:.0%} "
                f"chose {j} too ({adjacent[i, j]:.0%} at a neighbouring rank); chance {chance:.0%}"
            )
            pairs.append(((share - chance) * math.sqrt(n), said))
    if not pairs:
        return [html.Span("each token has one expert: see the transition between layers")]
    pairs.sort(key=lambda pair: -pair[0])
    return [html.Div(said) for _, said in pairs[:_LISTED]]
