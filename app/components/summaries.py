"""Each figure in words, for people who cannot see it."""

from __future__ import annotations

import numpy as np

from app.figures.definitions import MEASURES, Values, stack_values
from app.figures.labels import count_of, layer_label
from app.routing.metrics import expert_load
from app.routing.trace import RoutingTrace, Stack

_READ_TOKENS = 60
_READ_EXPERTS = 16


def summaries(
    trace: RoutingTrace, stack: Stack | None = None, values: Values | None = None
) -> tuple[str, str, str, str]:
    """Text summaries of the flows, the load heatmap, the token grid and the measures.

    `values` may be handed in where `stack_values` of the same layers is known already.
    """
    stack = stack or trace.stacks[0]
    layers = trace.stack_layers(stack)
    sequence = trace.sequences[stack]
    tokens = sequence.tokens
    values = values or stack_values(layers)
    flow, load, measures = [], [], []
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
        named = ", ".join(f"{m.title} {_said(m.text(values[m.key][index]))}" for m in MEASURES)
        measures.append(f"{name}: {named}.")
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
        "Measures by layer. " + " ".join(measures),
    )


def _said(text: str) -> str:
    return "undefined" if text == "–" else text
