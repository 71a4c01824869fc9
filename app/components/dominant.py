"""Which expert dominates each router layer, by load and by mean probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dash import html
from dash.development.base_component import Component

from app.figures.labels import (
    block_label,
    count_of,
    layer_label,
    plain_label,
    probability,
    score_word,
)
from app.figures.theme import LIGHT, Theme, expert_colors, ink
from app.routing.metrics import expert_load
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

_LISTED = 8
_PAIRS = 5
_TIED = 4


@dataclass(frozen=True)
class _Row:
    """A layer's experts of highest load and of highest mean score, several when tied."""

    index: int
    layer: RouterLayer
    load: np.ndarray
    by_load: list[int]
    mean: np.ndarray
    by_mean: list[int]

    @property
    def agrees(self) -> bool:
        return not set(self.by_load).isdisjoint(self.by_mean)


def dominant(trace: RoutingTrace, stack: Stack, theme: Theme = LIGHT) -> list[Component]:
    """A table with a row per router layer, and the most loaded experts over all layers."""
    layers = trace.stack_layers(stack)
    sequence = trace.sequences[stack]
    colors = expert_colors(theme, layers)
    rows = [_row(index, layer) for index, layer in enumerate(layers)]
    words = {score_word(layer) for layer in layers}
    mean = "mean probability" if words == {"p"} else "mean score"
    return [
        html.Div(
            html.Table(
                [
                    html.Thead(
                        html.Tr(
                            [
                                html.Th(text, scope="col")
                                for text in ("layer", "by load", f"by {mean}", "its tokens")
                            ]
                        )
                    ),
                    html.Tbody([_line(row, rows, colors, sequence) for row in rows]),
                ],
                className="dominant",
            ),
            className="scroller",
            tabIndex="0",
        ),
        html.H3("Highest load over all layers"),
        html.Ol([html.Li(pair) for pair in _overall(rows, colors)], className="pairs"),
        html.P(
            "Experts of different layers have nothing in common but their number, so this ranks "
            "pairs of a layer and an expert, not experts. Load is not importance.",
            className="quiet",
        ),
    ]


def _row(index: int, layer: RouterLayer) -> _Row:
    load = expert_load(layer.experts, layer.num_experts)
    mean = layer.probabilities.mean(axis=0, dtype=np.float64)
    return _Row(index, layer, load, _highest(load, 1e-12), mean, _highest(mean, 1e-9))


def _highest(values: np.ndarray, near: float) -> list[int]:
    found: list[int] = np.flatnonzero(values >= values.max() - near).tolist()
    return found


def _line(row: _Row, rows: list[_Row], colors: list[str], sequence: TokenSequence) -> html.Tr:
    layer = row.layer
    layers = [each.layer for each in rows]
    tokens = len(layer.experts)
    share = float(row.load[row.by_load[0]])
    count = round(share * layer.experts.size)
    score = float(row.mean[row.by_mean[0]])
    of_choices, of_tokens = ("", "") if layer.top_k == 1 else (" of choices", " tokens")
    differs = [] if row.agrees else [html.Em("differs", className="differs")]
    return html.Tr(
        [
            html.Th([layer_label(row.index), html.Small(block_label(layer, layers))], scope="row"),
            html.Td(
                [
                    *_names(row.by_load, colors),
                    f" {share:.0%}{of_choices}, {count} of {tokens}{of_tokens}",
                    html.Small(f"balance {1 / layer.num_experts:.1%}"),
                ]
            ),
            html.Td(
                [
                    *_names(row.by_mean, colors),
                    html.Span(f" {probability(score)} ", title=f"{score:.6g}"),
                    *differs,
                    html.Small(_uniform(layer)),
                ]
            ),
            html.Td(_tokens(layer, row.by_load, sequence)),
        ]
    )


def _uniform(layer: RouterLayer) -> str:
    """The mean probability of every expert when all are equally wanted; scores have none."""
    if score_word(layer) != "p":
        return "scores need not sum to 1"
    return f"1/N {probability(1 / layer.num_experts)}"


def _names(experts: list[int], colors: list[str]) -> list[Component | str]:
    shown = [_chip(expert, colors[expert]) for expert in experts[:_TIED]]
    if len(experts) == 1:
        return list(shown)
    more = len(experts) - len(shown)
    return [*shown, f"{f' and {more} more' if more else ''} tie at"]


def _chip(expert: int, color: str) -> html.Span:
    """An expert by colour and number, as in the figures."""
    style = {"background": color, "color": ink(color)}
    return html.Span(str(expert), className="expert", style=style, title=f"expert {expert}")


def _tokens(layer: RouterLayer, experts: list[int], sequence: TokenSequence) -> list[Component]:
    found = np.flatnonzero(np.isin(layer.experts, experts).any(axis=1)).tolist()
    chips = [_token(token, layer, sequence) for token in found[:_LISTED]]
    more = len(found) - len(chips)
    lost = int(layer.dropped[found].sum())
    tail = [
        *([f"+ {more} more"] if more else []),
        *([f"{lost} dropped"] if lost else []),
    ]
    return [
        html.Span(chips, className="chips"),
        *([html.Small(", ".join(tail))] if tail else []),
    ]


def _token(token: int, layer: RouterLayer, sequence: TokenSequence) -> html.Code:
    classes = [
        *(["quiet"] if sequence.special[token] else []),
        *(["dropped"] if layer.dropped[token] else []),
        *(["generated"] if sequence.generated[token] else []),
    ]
    title = f"token {token}" + "".join(f", {word}" for word in classes if word != "quiet")
    text = plain_label(sequence.tokens[token], 12)
    return html.Code(text, className=" ".join(classes), title=title)


def _overall(rows: list[_Row], colors: list[str]) -> list[list[Component | str]]:
    """The pairs of layer and expert with the highest load; those tied with the last are said."""
    pairs = sorted(
        (
            (-float(load), row.index, expert)
            for row in rows
            for expert, load in enumerate(row.load)
            if load > 0
        )
    )
    shown = pairs[:_PAIRS]
    tied = sum(abs(pair[0] - shown[-1][0]) < 1e-12 for pair in pairs[_PAIRS:])
    lines: list[list[Component | str]] = []
    for load, index, expert in shown:
        layer = rows[index].layer
        count = round(-load * layer.experts.size)
        lines.append(
            [
                f"{layer_label(index)}, expert ",
                _chip(expert, colors[expert]),
                f" {-load:.0%} of the choices, {count_of(count, 'token')} of "
                f"{len(layer.experts)}; {-load * layer.num_experts:.1f} times balance",
            ]
        )
    if tied:
        lines[-1].append(f"; {tied} more {'ties' if tied == 1 else 'tie'} with it")
    return lines
