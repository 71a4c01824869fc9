"""Two recorded routings compared, stack by stack, as far as they can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.routing.alignment import Alignment, align
from app.routing.metrics import (
    TransitionInformation,
    distribution,
    expert_load,
    jensen_shannon,
    layer_metrics,
    stack_metrics,
    transition_information,
)
from app.routing.trace import RouterLayer, RoutingTrace, Stack

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Whether expert i of a is expert i of b: surely, perhaps, or not at all.
Relation = Literal["same", "shape", "other"]


@dataclass(frozen=True, eq=False)
class LayerComparison:
    """A router layer of a and the one of b at the same relative depth; indices from 0.

    Where expert numbers mean the same: `changed` bool [P], whether the chosen experts differ
    as sets in each pair of aligned tokens; `dropped` bool [P], whether one of them alone was
    dropped; `distance` the mean Jensen–Shannon divergence of the probabilities in bits;
    `load_difference` f_b − f_a float64 [N] over all tokens. Else None, and NaN. `information`
    is that between the two choices of a token, which asks nothing of the numbers; None for
    one model.
    """

    index_a: int
    index_b: int
    a: RouterLayer
    b: RouterLayer
    changed: Bools | None
    dropped: Bools | None
    distance: float
    load_difference: Floats | None
    information: TransitionInformation | None

    @property
    def share_changed(self) -> float:
        """Share of the aligned pairs whose experts changed, NaN where undefined."""
        if self.changed is None or not len(self.changed):
            return math.nan
        return float(self.changed.mean())


@dataclass(frozen=True)
class MetricDifference:
    """A measure in both: of the layer pair at the index `layer`, or its mean over a stack.

    `n_a` and `n_b` are tokens. Undefined values are NaN; a mean is that of the defined ones.
    """

    name: str
    layer: int | None
    a: float
    b: float
    n_a: int
    n_b: int

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True, eq=False)
class StackComparison:
    """What two traces have in common in one stack. `says` tells in sentences what can be
    compared and what can't; `depths` are relative, in [0, 1], one per layer pair."""

    stack: Stack
    relation: Relation
    alignment: Alignment
    says: tuple[str, ...]
    layers: tuple[LayerComparison, ...]
    depths: tuple[float, ...]
    metrics: tuple[MetricDifference, ...]

    @property
    def means(self) -> tuple[MetricDifference, ...]:
        """The means over the stack alone."""
        return tuple(each for each in self.metrics if each.layer is None)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two traces compared: a part for each stack that both have, and what else to know."""

    a: RoutingTrace
    b: RoutingTrace
    stacks: tuple[StackComparison, ...]
    says: tuple[str, ...]

    def of(self, stack: str | None) -> StackComparison | None:
        """The part of a stack; the first one's if it is none of them, None without any."""
        found = (part for part in self.stacks if part.stack == stack)
        return next(found, self.stacks[0] if self.stacks else None)


def compare(a: RoutingTrace, b: RoutingTrace) -> Comparison:
    """Compares every stack that both traces have."""
    shared = [stack for stack in a.stacks if stack in b.stacks]
    return Comparison(a, b, tuple(_stack(a, b, stack) for stack in shared), tuple(_says(a, b)))


def relation(a: RoutingTrace, b: RoutingTrace, stack: Stack) -> Relation:
    """Whether expert numbers of a stack mean the same in both."""
    shapes = [
        (
            t.model.architecture,
            [(la.name, la.num_experts, la.top_k) for la in t.stack_layers(stack)],
        )
        for t in (a, b)
    ]
    if shapes[0] != shapes[1]:
        return "other"
    one, other = a.model, b.model
    return "same" if (one.id, one.revision) == (other.id, other.revision) else "shape"


def relative_depths(layers: int) -> Floats:
    """Where L router layers stand between the beginning and the end: (i + ½) / L."""
    return (np.arange(layers) + 0.5) / layers


def layer_pairs(layers_a: int, layers_b: int) -> list[tuple[int, int]]:
    """Each layer of the deeper model with the one nearest to it in relative depth, the
    shallower of two as near."""
    if layers_a < layers_b:
        return [(a, b) for b, a in layer_pairs(layers_b, layers_a)]
    apart = np.abs(relative_depths(layers_a)[:, None] - relative_depths(layers_b)[None, :])
    # Rounded, or which of two is nearer would be chance.
    return [(a, int(b)) for a, b in enumerate(apart.round(9).argmin(axis=1))]


def _says(a: RoutingTrace, b: RoutingTrace) -> list[str]:
    return [
        f"Only {name} has a {stack} that was traced: there is nothing to compare it with."
        for name, one, other in (("a", a, b), ("b", b, a))
        for stack in one.stacks
        if stack not in other.stacks
    ]


def _stack(a: RoutingTrace, b: RoutingTrace, stack: Stack) -> StackComparison:
    aligned = align(a, b, stack)
    kind = relation(a, b, stack)
    of_a, of_b = a.stack_layers(stack), b.stack_layers(stack)
    pairs = layer_pairs(len(of_a), len(of_b))
    layers = tuple(_layer(i, j, of_a[i], of_b[j], aligned, kind) for i, j in pairs)
    deeper = relative_depths(len(pairs)).tolist()
    return StackComparison(
        stack,
        kind,
        aligned,
        tuple(_sentences(a, b, kind, aligned, layers)),
        layers,
        tuple(deeper),
        tuple(_metrics(of_a, of_b, pairs)),
    )


def _layer(
    index_a: int, index_b: int, a: RouterLayer, b: RouterLayer, aligned: Alignment, kind: Relation
) -> LayerComparison:
    x, y = aligned.pairs.T
    changed = dropped = load = information = None
    distance = math.nan
    if kind != "other":
        changed = np.any(np.sort(a.experts[x], axis=1) != np.sort(b.experts[y], axis=1), axis=1)
        dropped = a.dropped[x] != b.dropped[y]
        distance = _distance(a, b, aligned)
        load = expert_load(b.experts, b.num_experts) - expert_load(a.experts, a.num_experts)
    if kind != "same":
        once = aligned.one_to_one()
        information = transition_information(
            a.experts[once[:, 0]], b.experts[once[:, 1]], a.num_experts, num_to=b.num_experts
        )
    return LayerComparison(index_a, index_b, a, b, changed, dropped, distance, load, information)


def _distance(a: RouterLayer, b: RouterLayer, aligned: Alignment) -> float:
    p = distribution(a.probabilities)[aligned.pairs[:, 0]]
    q = distribution(b.probabilities)[aligned.pairs[:, 1]]
    # Scores of zero throughout are no distribution.
    known = ~(np.isnan(p[:, 0]) | np.isnan(q[:, 0]))
    if not known.any():
        return math.nan
    return float(np.mean(jensen_shannon(p[known], q[known])))


def _sentences(
    a: RoutingTrace,
    b: RoutingTrace,
    kind: Relation,
    aligned: Alignment,
    layers: Sequence[LayerComparison],
) -> list[str]:
    first, last = layers[0], layers[-1]
    said = []
    if kind == "same":
        said.append(
            "One model at one revision: expert numbers mean the same in both, so changed experts "
            "and loads can be compared."
        )
    elif kind == "shape":
        what = "Another revision of the model" if a.model.id == b.model.id else "Two models"
        said.append(
            f"{what} of the same shape: expert 3 in a is expert 3 in b only if one was trained on "
            "from the other. Changed experts and loads are shown, and mean nothing otherwise; the "
            "information between the choices does not depend on the numbers."
        )
    else:
        said.append(
            f"Models of different make: {last.index_a + 1} and {last.index_b + 1} router layers, "
            f"{_choice(first.a)} and {_choice(first.b)}. Expert numbers are unrelated, so "
            "there are no changed experts and no load difference. Layers stand beside each other "
            "by relative depth; the information between the two choices of a token says how far "
            "one tells the other."
        )
    if first.a.score_function != first.b.score_function:
        said.append(
            f"Scores are made by {first.a.score_function} in a and by {first.b.score_function} in "
            "b: measures of their certainty compare with care."
        )
    if not len(aligned.pairs):
        said.append("No token of a has a partner in b: only whole texts can be compared.")
    return said


def _choice(layer: RouterLayer) -> str:
    return f"top-{layer.top_k} of {layer.num_experts} experts"


def _metrics(
    of_a: Sequence[RouterLayer], of_b: Sequence[RouterLayer], pairs: Sequence[tuple[int, int]]
) -> list[MetricDifference]:
    a, b = _values(of_a), _values(of_b)
    n_a, n_b = len(of_a[0].experts), len(of_b[0].experts)
    means = [MetricDifference(name, None, _mean(a[name]), _mean(b[name]), n_a, n_b) for name in a]
    return means + [
        MetricDifference(name, place, a[name][i], b[name][j], n_a, n_b)
        for name in a
        for place, (i, j) in enumerate(pairs)
    ]


def _values(layers: Sequence[RouterLayer]) -> dict[str, list[float]]:
    each = [layer_metrics(layer) for layer in layers]
    return {name: [values[name] for values in each] for name in each[0]} | stack_metrics(layers)


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
