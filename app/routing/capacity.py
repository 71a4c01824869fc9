"""Which tokens would drop at another expert capacity, from a recorded trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.routing.errors import InvalidTaskError
from app.routing.trace import RouterLayer, RoutingTrace

APPROXIMATE = (
    "worked out from the recorded choices, exact in the first router layer; in later ones it "
    "ignores that dropped tokens change what comes after them"
)


def over_capacity(experts: NDArray[np.integer], capacity: int) -> NDArray[np.bool_]:
    """Tokens whose expert is full when they come, bool [T], first come, first served.

    `experts` int [T] in order of the sequence (Fedus et al. 2021, §2.2).
    """
    chosen = np.asarray(experts)
    before = np.array([np.count_nonzero(chosen[:t] == e) for t, e in enumerate(chosen)])
    return before >= capacity


def own_capacity(trace: RoutingTrace) -> int | None:
    """The expert capacity of the model that made a trace, which may have run at another.

    None where no other can be worked out: without a capacity, or with several experts a token.
    """
    if any(layer.capacity is None or layer.top_k > 1 for layer in trace.layers):
        return None
    own: int | None = trace.provenance.get("own_capacity", trace.layers[0].capacity)
    return own


def with_capacity(trace: RoutingTrace, capacity: int) -> RoutingTrace:
    """The trace with the drops that another capacity would give, without running the model.

    Exact in the first router layer of a stack. A generated stack stays as it is: with a
    cache each step sees one token. Raises InvalidTaskError for a model without a capacity,
    or a capacity below 1.
    """
    if capacity < 1:
        raise InvalidTaskError("capacity must be at least 1")
    own = own_capacity(trace)
    if own is None:
        raise InvalidTaskError("the experts of this model have no fixed capacity")
    cached = {stack for stack, sequence in trace.sequences.items() if sequence.generated.any()}
    return replace(
        trace,
        layers=tuple(
            layer if layer.stack in cached else _limited(layer, capacity) for layer in trace.layers
        ),
        provenance={
            **trace.provenance,
            "capacity": capacity,
            "own_capacity": own,
            "capacity_method": APPROXIMATE,
        },
    )


def _limited(layer: RouterLayer, capacity: int) -> RouterLayer:
    dropped = over_capacity(layer.experts[:, 0], capacity)
    chosen = np.take_along_axis(layer.probabilities, layer.experts, axis=1)
    weights = np.where(dropped[:, None], 0, chosen)
    return replace(layer, dropped=dropped, weights=weights, capacity=capacity)
