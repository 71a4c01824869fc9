"""Each figure in words, for people who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.figures.definitions import MEASURES, Values
from app.figures.labels import count_of, layer_label
from app.routing.metrics import expert_load
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_READ_TOKENS = 60
_READ_EXPERTS = 16


def summaries(trace: RoutingTrace, stack: Stack | None = None) -> tuple[str, str, str]:
    """Text summaries of the flows, the load heatmap and the token grid."""
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    sequence = trace.sequences[stack]
    tokens = sequence.tokens
    flow, load = [], []
    for index, layer in enumerate(layers):
        name = layer_label(index)
        shares = expert_load(layer.experts, layer.num_experts)
        order = [int(e) for e in np.argsort(-shares, kind="stable") if shares[e] > 0]
        taken = ", ".join(f"expert {e} {shares[e]:.0%}" for e in order[:_READ_EXPERTS])
        others = len(order) - _READ_EXPERTS
        load.append(f"{name}: {taken}{f', {others} more' if others > 0 else ''}.")
        counts = (layer.experts == order[0]).sum()
        lost = int(layer.dropped.sum())
        drops = f", {count_of(lost, 'token')} dropped" if lost else ""
        flow.append(f"{name}: most tokens ({counts}) go to expert {order[0]}{drops}.")
    grid = [
        f"{token}{' (generated)' if sequence.generated[i] else ''}: "
        + " ".join(
            "+".join(map(str, layer.experts[i])) + (" dropped" if layer.dropped[i] else "")
            for layer in layers
        )
        for i, token in enumerate(tokens[:_READ_TOKENS])
    ]
    more = len(tokens) - len(grid)
    made = int(sequence.generated.sum())
    head = (
        f"{count_of(len(tokens), 'token')} through {count_of(len(layers), 'router layer')} "
        f"of the {stack}{f', {made} of them generated' if made else ''}. "
    )
    return (
        head + " ".join(flow),
        "Load by layer. " + " ".join(load),
        "Experts of each token by layer. "
        + "; ".join(grid)
        + (f"; {more} more in the table." if more > 0 else "."),
    )


def measures_summary(layers: Sequence[RouterLayer], values: Values) -> str:
    """The measures of one stack in words; `values` are `stack_values` of its layers."""
    told = []
    for index in range(len(layers)):
        named = ", ".join(f"{m.title} {_said(m.text(values[m.key][index]))}" for m in MEASURES)
        told.append(f"{layer_label(index)}: {named}.")
    return "Measures by layer. " + " ".join(told)


def _said(text: str) -> str:
    return "undefined" if text == "–" else text
