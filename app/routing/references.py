"""Which published metric each recorded value is, and the level to read it against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from app.routing.metrics import path_statistics
from app.routing.trace import RouterLayer

Values = Mapping[str, float]
Level = Callable[[RouterLayer, Values], float]


class Definition(NamedTuple):
    """Which function of `app.routing.metrics` a value is, and the level to read it against.

    `level` takes a layer and all its values by name; `text` says what has that level: a
    router that chooses by chance, or another.
    """

    function: str
    level: Level | None = None
    text: str | None = None


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
    "load_gini": Definition(
        "gini", _ZERO, f"{_BALANCE}; chance gives more, in short texts much more"
    ),
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


def reference(name: str, layer: RouterLayer, values: Values) -> float | None:
    """The level to read a layer's value against, None where there is none."""
    level = DEFINITIONS[name].level
    return level(layer, values) if level else None


class PathChance(NamedTuple):
    """What paths would be if layers chose independently of each other: means of permutations."""

    distinct: float
    entropy_bits: float


def path_chance(
    layers: Sequence[RouterLayer], permutations: int = 100, seed: int = 0
) -> PathChance:
    """Distinct paths and their entropy when each layer's choices are shuffled among tokens.

    Loads stay as they are, so this is what the loads alone give. NaN without layers.
    """
    if not layers:
        return PathChance(math.nan, math.nan)
    random = np.random.default_rng(seed)
    choices = [np.sort(layer.experts, axis=1) for layer in layers]
    found = [
        path_statistics(np.hstack([random.permutation(each) for each in choices]))
        for _ in range(permutations)
    ]
    return PathChance(
        float(np.mean([paths.distinct for paths in found])),
        float(np.mean([paths.entropy_bits for paths in found])),
    )
