"""All measures of one trace, as the run, its report and the analysis as JSON hold them."""

from __future__ import annotations

from typing import NamedTuple

from app.routing.metrics import Paths, layer_metrics, stack_metrics, trace_paths
from app.routing.trace import RoutingTrace, Stack


class Measures(NamedTuple):
    """Measures by name for each router layer's name, and the paths through each stack.

    Undefined ones are NaN.
    """

    layers: dict[str, dict[str, float]]
    paths: dict[Stack, Paths]


def measure(trace: RoutingTrace) -> Measures:
    """Measures of each layer, those towards the layers beside it among them."""
    layers: dict[str, dict[str, float]] = {}
    paths: dict[Stack, Paths] = {}
    for stack in trace.stacks:
        of_stack = trace.stack_layers(stack)
        between = stack_metrics(of_stack)
        for index, layer in enumerate(of_stack):
            own = {name: values[index] for name, values in between.items()}
            layers[layer.name] = layer_metrics(layer) | own
        paths[stack] = trace_paths(of_stack)
    return Measures(layers, paths)
