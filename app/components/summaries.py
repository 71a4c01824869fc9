"""Each figure in words, for people who cannot see it."""

from __future__ import annotations

import numpy as np

from app.figures.labels import layer_label
from app.figures.measures import MEASURES
from app.routing.metrics import expert_load, layer_metrics
from app.routing.trace import RoutingTrace

_READ_TOKENS = 60


def summaries(trace: RoutingTrace) -> tuple[str, str, str, str]:
    """Text summaries of the flows, the load heatmap, the token grid and the measures."""
    stack = trace.stacks[0]
    layers = trace.stack_layers(stack)
    tokens = trace.sequences[stack].tokens
    flow, load, measures = [], [], []
    for index, layer in enumerate(layers):
        shares = expert_load(layer.experts, layer.num_experts)
        order = [int(e) for e in np.argsort(-shares, kind="stable") if shares[e] > 0]
        taken = ", ".join(f"expert {e} {shares[e]:.0%}" for e in order)
        load.append(f"{layer_label(index)}: {taken}.")
        counts = (layer.experts == order[0]).sum()
        flow.append(f"{layer_label(index)}: most tokens ({counts}) go to expert {order[0]}.")
        values = layer_metrics(layer)
        named = ", ".join(f"{measure.title} {values[measure.key]:.3g}" for measure in MEASURES)
        measures.append(f"{layer_label(index)}: {named}.")
    grid = [
        f"{token}: {' '.join('+'.join(map(str, layer.experts[i])) for layer in layers)}"
        for i, token in enumerate(tokens[:_READ_TOKENS])
    ]
    more = len(tokens) - len(grid)
    head = f"{len(tokens)} tokens through {len(layers)} router layers of the {stack}. "
    return (
        head + " ".join(flow),
        "Load by layer. " + " ".join(load),
        "Experts of each token by layer. "
        + "; ".join(grid)
        + (f"; {more} more in the table." if more > 0 else "."),
        "Measures by layer. " + " ".join(measures),
    )
