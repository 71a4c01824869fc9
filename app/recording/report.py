"""metrics.json: every measure of a trace with its definition, n, reference and interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.recording.measures import Measures
from app.routing.bootstrap import Sentences, intervals, sentence_ids
from app.routing.metrics import (
    Paths,
    co_activation,
    drop_rate,
    expert_load,
    rank_adjacent_co_activation,
    specialisation,
    transition_counts,
    transition_information,
    transition_matrix,
)
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

Values = Mapping[str, float]
Level = Callable[[RouterLayer, Values], float]
_LEVEL = 0.95


class Definition(NamedTuple):
    """Which function of `app.routing.metrics` a value is, and the level to read it against.

    `reference_text` says what has that level: a router that chooses by chance, or another.
    """

    function: str
    reference: Level | None = None
    reference_text: str | None = None


def _random_cv(layer: RouterLayer, _values: Values) -> float:
    return math.sqrt((layer.num_experts - layer.top_k) / layer.experts.size)


def _random_active(layer: RouterLayer, _values: Values) -> float:
    n = layer.num_experts
    return float(n * (1 - (1 - layer.top_k / n) ** len(layer.experts)))


def _all_bits(layer: RouterLayer, _values: Values) -> float:
    return math.log2(layer.num_experts)


def _always(value: float) -> Level:
    return lambda _layer, _values: value


def _own(name: str) -> Level:
    return lambda _layer, values: values[name]


_ZERO, _ONE = _always(0.0), _always(1.0)
_BALANCE = "perfect balance"
_UNDECIDED = "an undecided router"

DEFINITIONS: dict[str, Definition] = {
    "load_cv": Definition(
        "coefficient_of_variation", _random_cv, "chance: √((N−k)/(kT)), root mean square"
    ),
    "load_gini": Definition("gini", _ZERO, f"{_BALANCE}; chance gives more"),
    "max_violation": Definition("max_violation", _ZERO, f"{_BALANCE}; chance gives more"),
    "load_entropy": Definition("load_entropy.normalised", _ONE, f"{_BALANCE}; chance gives less"),
    "load_entropy_bits": Definition(
        "load_entropy.bits", _all_bits, f"{_BALANCE}, log2 N; chance gives less"
    ),
    "active_experts": Definition("active_share × N", _random_active, "chance: N(1−(1−k/N)^T)"),
    "auxiliary_loss": Definition("auxiliary_loss", _ONE, _BALANCE),
    "z_loss": Definition(
        "z_loss", lambda layer, _: math.log(layer.num_experts) ** 2, "(ln N)², all logits 0"
    ),
    "confidence": Definition(
        "confidence", lambda layer, _: 1 / layer.num_experts, f"1/N, {_UNDECIDED}"
    ),
    "margin": Definition("margin", _ZERO, "ties"),
    "token_entropy": Definition("token_entropy.normalised", _ONE, _UNDECIDED),
    "token_entropy_bits": Definition("token_entropy.bits", _all_bits, f"log2 N, {_UNDECIDED}"),
    "marginal_entropy": Definition("marginal_entropy.normalised", _ONE, "all experts wanted alike"),
    "marginal_entropy_bits": Definition(
        "marginal_entropy.bits", _all_bits, "log2 N, all experts wanted alike"
    ),
    "token_information": Definition(
        "token_information", _ZERO, "the same probabilities for every token"
    ),
    "repetition": Definition(
        "repetition_rate.rate",
        _own("repetition_chance"),
        "chance: repetition_chance, independent tokens with the same load",
    ),
    "repetition_chance": Definition(
        "repetition_rate.chance_load",
        lambda layer, _: layer.top_k / layer.num_experts,
        "k/N, the same with a balanced load",
    ),
    "dropped": Definition("drop_rate.overall × n", _ZERO, "a router without a capacity"),
    "drop_rate": Definition("drop_rate.overall", _ZERO, "a router without a capacity"),
    "transition_information": Definition(
        "transition_information.bits",
        _own("transition_null"),
        "chance: transition_null, the tokens of one layer permuted",
    ),
    "transition_null": Definition("transition_information.null_mean"),
    "load_distance": Definition("jensen_shannon", _ZERO, "equal loads; chance gives more"),
    "saturation": Definition(
        "saturation",
        lambda layer, _: layer.top_k / layer.num_experts,
        "chance: k/N, independent balanced choices",
    ),
}
# What is more than one number, without one level to read it against.
_TABLES = {
    "load": "expert_load",
    "co_activation": "co_activation",
    "rank_adjacent_co_activation": "rank_adjacent_co_activation",
    "drop_rate_by_position": "drop_rate.by_position",
    "transition": "transition_information, transition_counts, transition_matrix",
    "specialisation": "specialisation",
    "paths": "path_statistics",
}


def report(trace: RoutingTrace, measures: Measures) -> dict[str, Any]:
    """Every measure of a trace as plain JSON values; undefined ones are null.

    `definitions` names each value's function and reference level, `stacks` holds tokens,
    sentences, paths and how intervals were made, `layers` the rest.
    """
    sentences = {stack: sentence_ids(seq.tokens) for stack, seq in trace.sequences.items()}
    before: dict[Stack, RouterLayer] = {}
    layers = []
    for layer in trace.layers:
        layers.append(
            layer_json(layer)
            | {"values": _values(layer, measures.layers[layer.name], sentences[layer.stack])}
            | _tables(layer, trace.sequences[layer.stack])
            | {"transition": _transition(before.get(layer.stack), layer)}
        )
        before[layer.stack] = layer
    stacks = {
        stack: {
            "tokens": len(sequence),
            **_sentences(sentences[stack]),
            "paths": paths_json(measures.paths[stack]),
        }
        for stack, sequence in trace.sequences.items()
    }
    return {"definitions": _definitions(measures), "stacks": stacks, "layers": layers}


def layer_json(layer: RouterLayer) -> dict[str, Any]:
    """What a router layer is, without what it did."""
    return {
        "name": layer.name,
        "stack": layer.stack,
        "block": layer.block,
        "num_experts": layer.num_experts,
        "top_k": layer.top_k,
        "score_function": layer.score_function,
        "selection": layer.selection,
        "capacity": layer.capacity,
    }


def paths_json(paths: Paths) -> dict[str, Any]:
    """Path statistics as plain JSON values; `coverage[m-1]` is that of the m commonest."""
    return {
        "distinct": paths.distinct,
        "share_distinct": number(paths.share_distinct),
        "entropy_bits": number(paths.entropy_bits),
        "coverage": _plain(paths.coverage),
        "n": paths.n,
    }


def number(value: float) -> float | None:
    """A number of JSON; null where it is undefined."""
    return float(value) if math.isfinite(value) else None


def _definitions(measures: Measures) -> dict[str, Any]:
    names = dict.fromkeys(name for values in measures.layers.values() for name in values)
    known = {name: DEFINITIONS.get(name, Definition(name)) for name in names}
    return {
        name: {"function": each.function, "reference": each.reference_text}
        for name, each in known.items()
    } | {name: {"function": function, "reference": None} for name, function in _TABLES.items()}


def _values(layer: RouterLayer, values: Values, sentences: Sentences) -> dict[str, Any]:
    spans = intervals(layer, sentences, level=_LEVEL)
    rows: dict[str, Any] = {}
    for name, value in values.items():
        reference = DEFINITIONS.get(name, Definition(name)).reference
        rows[name] = {
            "value": number(value),
            "n": _observations(name, layer),
            "reference": number(reference(layer, values)) if reference else None,
            "interval": list(spans[name]) if name in spans else None,
        }
    return rows


def _observations(name: str, layer: RouterLayer) -> int:
    """How many tokens a value rests on; for repetition, pairs of neighbouring ones."""
    tokens = len(layer.experts)
    return tokens - 1 if name.startswith("repetition") else tokens


def _tables(layer: RouterLayer, sequence: TokenSequence) -> dict[str, Any]:
    experts, n = layer.experts, layer.num_experts
    several = layer.top_k > 1
    return {
        "load": _plain(expert_load(experts, n)),
        "co_activation": _plain(co_activation(experts, n)) if several else None,
        "rank_adjacent_co_activation": (
            _plain(rank_adjacent_co_activation(experts, n)) if several else None
        ),
        "drop_rate_by_position": (
            _plain(drop_rate(layer.dropped).by_position) if layer.capacity is not None else None
        ),
        "specialisation": _specialisation(layer, sequence),
    }


def _specialisation(layer: RouterLayer, sequence: TokenSequence) -> dict[str, Any] | None:
    """Which experts each token of the vocabulary chose, of those that occur more than once.

    A token that occurs once chose what it chose: that says nothing of a habit.
    """
    ids, place, times = np.unique(sequence.token_ids, return_inverse=True, return_counts=True)
    often = times > 1
    if not often.any():
        return None
    label, rows = np.cumsum(often) - 1, often[place]
    found = specialisation(
        label[place][rows], layer.experts[rows], int(often.sum()), layer.num_experts
    )
    return {
        "token_ids": ids[often].tolist(),
        "counts": found.counts.tolist(),
        "share": _plain(found.share),
        "baseline": number(found.baseline),
    }


def _transition(before: RouterLayer | None, layer: RouterLayer) -> dict[str, Any] | None:
    """How tokens went on from the layer before in the same stack; null in the first."""
    if before is None:
        return None
    sides = (before.experts, layer.experts, before.num_experts)
    found = transition_information(*sides, num_to=layer.num_experts)
    return {
        "from": before.name,
        "n": found.n,
        "bits": number(found.bits),
        "null_mean": number(found.null_mean),
        "null_95": number(found.null_95),
        "counts": transition_counts(*sides, layer.num_experts).tolist(),
        "matrix": _plain(transition_matrix(*sides, layer.num_experts)),
    }


def _sentences(sentences: Sentences) -> dict[str, Any]:
    count = int(sentences[-1]) + 1
    how = (
        f"{_LEVEL:.0%} percentile bootstrap over {count} sentences"
        if count > 1
        else "none: there is one sentence, and nothing says how much another would differ"
    )
    return {"sentences": count, "intervals": how}


def _plain(array: ArrayLike) -> list[Any]:
    values = np.asarray(array, dtype=np.float64)
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    listed: list[Any] = plain.tolist()
    return listed
