"""metrics.json: every measure of a trace with its definition, n, reference and interval."""

from __future__ import annotations

import math
from typing import Any

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
from app.routing.references import DEFINITIONS, Values, reference
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

_LEVEL = 0.95


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
    return {
        name: {"function": DEFINITIONS[name].function, "reference": DEFINITIONS[name].text}
        for name in names
    } | {name: {"function": function, "reference": None} for name, function in _TABLES.items()}


def _values(layer: RouterLayer, values: Values, sentences: Sentences) -> dict[str, Any]:
    spans = intervals(layer, sentences, level=_LEVEL)
    rows: dict[str, Any] = {}
    for name, value in values.items():
        level = reference(name, layer, values)
        rows[name] = {
            "value": number(value),
            "n": _observations(name, layer),
            "reference": number(level) if level is not None else None,
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
