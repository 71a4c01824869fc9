"""The panel beside the flows: what is selected, in words and numbers."""

from __future__ import annotations

import numpy as np
from dash import html
from dash.development.base_component import Component

from app.figures.labels import layer_label, layer_place, plain_label, probability
from app.figures.selection import Selection
from app.figures.theme import Theme, expert_colors
from app.routing.metrics import expert_load
from app.routing.trace import RoutingTrace, Stack

_SHOWN = 8


def details(
    trace: RoutingTrace, theme: Theme, selection: Selection | None, stack: Stack | None = None
) -> list[Component]:
    """The panel's content for a selection, or how to make one."""
    stack = stack or trace.stacks[0]
    if selection is None:
        return _nothing(trace, stack)
    if selection.token is not None:
        return _token(trace, theme, selection.token, selection.layer, stack)
    return _expert(trace, selection, stack)


def _nothing(trace: RoutingTrace, stack: Stack) -> list[Component]:
    layers = trace.stack_layers(stack)
    loads = [expert_load(layer.experts, layer.num_experts) for layer in layers]
    busiest = int(np.argmax([load.max() for load in loads]))
    dropped = sum(int(layer.dropped.sum()) for layer in layers)
    facts = [
        f"{len(trace.sequences[stack])} tokens, {len(layers)} router layers of the {stack}, "
        f"{layers[0].num_experts} experts, top-{layers[0].top_k}.",
        f"Most loaded: expert {int(loads[busiest].argmax())} of {layer_label(busiest).lower()}, "
        f"{loads[busiest].max():.0%} of its tokens "
        f"(balance is {1 / layers[busiest].num_experts:.1%}).",
        f"{dropped} dropped by capacity." if dropped else "No token dropped.",
    ]
    return [
        html.H2("Nothing selected"),
        *[html.P(fact) for fact in facts],
        html.P("Click a token, an expert or a cell to follow it everywhere.", className="quiet"),
    ]


def _token(
    trace: RoutingTrace, theme: Theme, token: int, layer_index: int | None, stack: Stack
) -> list[Component]:
    sequence = trace.sequences[stack]
    layers = trace.stack_layers(stack)
    index = layer_index if layer_index is not None else 0
    layer = layers[index]
    colors = expert_colors(theme, layers)
    order = np.argsort(-layer.probabilities[token], kind="stable")[:_SHOWN]
    special = ", a special token" if sequence.special[token] else ""
    path = " → ".join(
        "+".join(map(str, la.experts[token])) + ("×" if la.dropped[token] else "") for la in layers
    )
    return [
        html.H2(["Token ", html.Code(plain_label(sequence.tokens[token], 30))]),
        html.P(f"Number {token}, id {sequence.token_ids[token]}{special}."),
        html.P(["Experts over depth ", html.Strong(path)]),
        html.H3(f"{layer_label(index)}, {layer_place(layer)}"),
        html.Table(
            html.Tbody(
                [_bar(int(e), float(layer.probabilities[token, e]), colors[e]) for e in order]
            ),
            className="bars",
        ),
        *(
            [html.P(f"Dropped: expert {layer.experts[token, 0]} was over its capacity.")]
            if layer.dropped[token]
            else []
        ),
    ]


def _bar(expert: int, value: float, color: str) -> html.Tr:
    width = {"width": f"{max(value, 0.004):.1%}", "background": color}
    return html.Tr(
        [
            html.Th(f"expert {expert}", scope="row"),
            html.Td(probability(value), title=f"{value:.6g}"),
            html.Td(html.Div(className="bar", style=width)),
        ]
    )


def _expert(trace: RoutingTrace, selection: Selection, stack: Stack) -> list[Component]:
    assert selection.layer is not None
    assert selection.expert is not None
    layers = trace.stack_layers(stack)
    layer = layers[selection.layer]
    tokens = np.flatnonzero(selection.tokens(layers))
    names = trace.sequences[stack].tokens
    source = ""
    if selection.source is not None:
        source = f" after expert {selection.source} of {layer_label(selection.layer - 1).lower()}"
    share = len(tokens) / len(names)
    mean = layer.probabilities[tokens, selection.expert].mean() if len(tokens) else None
    return [
        html.H2(f"Expert {selection.expert}, {layer_label(selection.layer).lower()}"),
        html.P(f"{layer_place(layer).capitalize()}{source}."),
        html.P(
            f"{len(tokens)} of {len(names)} tokens ({share:.0%})"
            + (f", mean probability {probability(float(mean))}." if mean is not None else ".")
        ),
        html.P(
            [html.Code(plain_label(names[token], 20)) for token in tokens[:60]],
            className="chips",
        ),
        *([html.P(f"{len(tokens) - 60} more", className="quiet")] if len(tokens) > 60 else []),
    ]
