"""Every measure of a router layer as it is shown: what it means, and what chance gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.figures.labels import count_of, number, span
from app.routing.metrics import layer_metrics, stack_metrics
from app.routing.references import DEFINITIONS, reference
from app.routing.trace import RouterLayer

# The values of all measures by key, one per router layer of a stack.
Values = Mapping[str, Sequence[float]]

BALANCE, CERTAINTY, ALONG, DEPTH = "balance", "certainty", "along the text", "over depth"
GROUPS = (BALANCE, CERTAINTY, ALONG, DEPTH)


@dataclass(frozen=True)
class Measure:
    """A measure as it is shown.

    `n` says what one layer's value rests on. `usual` is where a scale ends unless a value
    lies above, so that scales don't move with the text. `undefined` says when there is no
    value.
    """

    key: str
    title: str
    group: str
    formula: str
    definition: str
    n: Callable[[RouterLayer], str]
    usual: Callable[[RouterLayer], float]
    undefined: str
    unit: str = ""
    percent: bool = False

    @property
    def anchor(self) -> str:
        """Its section in docs/metrics.md."""
        return self.key.replace("_", "-")

    @property
    def reference_text(self) -> str:
        """What has the level to compare with, in words; empty without one."""
        return DEFINITIONS[self.key].text or ""

    def text(self, value: float) -> str:
        """A value as it is shown, without its unit."""
        return f"{value:.0%}" if self.percent and not math.isnan(value) else number(value)

    def range_text(self, values: Sequence[float]) -> str:
        """The lowest and the highest value that is defined, – if none is."""
        defined = sorted(finite(values))
        return span([self.text(defined[0]), self.text(defined[-1])]) if defined else "–"

    def levels(self, layers: Sequence[RouterLayer], values: Values) -> list[float]:
        """The level to compare with in each layer, empty without one."""
        each = [
            reference(self.key, layer, {name: series[index] for name, series in values.items()})
            for index, layer in enumerate(layers)
        ]
        return [level for level in each if level is not None]

    def top(self, layers: Sequence[RouterLayer], values: Values) -> float:
        """Where its scale ends, which begins at 0."""
        shown = finite([*values[self.key], *self.levels(layers, values)])
        return max([*(self.usual(layer) for layer in layers), *shown]) * 1.05 or 1.0


def finite(values: Sequence[float]) -> list[float]:
    """The values that are defined."""
    return [value for value in values if not math.isnan(value)]


def stack_values(layers: Sequence[RouterLayer]) -> dict[str, list[float]]:
    """All measures of the router layers of one stack, by key, a value per layer."""
    each = [layer_metrics(layer) for layer in layers]
    return {key: [values[key] for values in each] for key in each[0]} | stack_metrics(layers)


def _tokens(layer: RouterLayer) -> str:
    return count_of(len(layer.experts), "token")


def _assignments(layer: RouterLayer) -> str:
    if layer.top_k == 1:
        return _tokens(layer)
    return f"{layer.experts.size:,} choices, {layer.top_k} of each of {_tokens(layer)}"


def _neighbours(layer: RouterLayer) -> str:
    return count_of(len(layer.experts) - 1, "pair") + " of neighbouring tokens"


def _one(_layer: RouterLayer) -> float:
    return 1.0


def _bits(layer: RouterLayer) -> float:
    return float(np.log2(max(layer.num_experts, 2)))


_ONE_EXPERT = "with one expert there is nothing to choose"
_FIRST = "the first router layer has none before it"
_NEVER = "it is always defined"

MEASURES = (
    Measure(
        key="load_cv",
        title="load CV",
        group=BALANCE,
        formula="σ(f) / μ(f)",
        definition="How unevenly the experts are loaded, relative to the mean load f; "
        "0 is balance.",
        n=_assignments,
        usual=lambda layer: math.sqrt(layer.num_experts / layer.top_k - 1) * 0.75,
        undefined=_NEVER,
    ),
    Measure(
        key="load_gini",
        title="load Gini",
        group=BALANCE,
        formula="Σᵢ (2i−N−1) f₍ᵢ₎ / N",
        definition="How unequal the loads are; 0 is balance, 1 − k/N the most.",
        n=_assignments,
        usual=_one,
        undefined=_NEVER,
    ),
    Measure(
        key="max_violation",
        title="MaxVio",
        group=BALANCE,
        formula="N · max f − 1",
        definition="By how much the fullest expert exceeds its fair share; 0.5 is half as "
        "much again.",
        n=_assignments,
        usual=lambda layer: (layer.num_experts / layer.top_k - 1) / 2,
        undefined=_NEVER,
    ),
    Measure(
        key="active_experts",
        title="active experts",
        group=BALANCE,
        formula="|{i : nᵢ > 0}|",
        definition="How many of the N experts took at least one token.",
        n=_assignments,
        usual=lambda layer: layer.num_experts,
        undefined=_NEVER,
    ),
    Measure(
        key="load_entropy",
        title="load entropy",
        group=BALANCE,
        formula="H(f) / log N",
        definition="How evenly the load is spread; 1 is balance, 0 one expert for all tokens.",
        n=_assignments,
        usual=_one,
        undefined=_ONE_EXPERT,
    ),
    Measure(
        key="auxiliary_loss",
        title="auxiliary loss",
        group=BALANCE,
        formula="N · Σᵢ fᵢ Pᵢ",
        definition="The balance loss of training on this text: load f times mean probability "
        "P; N/k at most.",
        n=_tokens,
        usual=lambda layer: layer.num_experts / layer.top_k / 2,
        undefined="no token has a score above 0",
    ),
    Measure(
        key="drop_rate",
        title="dropped tokens",
        group=BALANCE,
        formula="dropped / T",
        definition="Share of the tokens that found no room in their expert.",
        n=_tokens,
        usual=lambda _layer: 0.5,
        undefined=_NEVER,
        percent=True,
    ),
    Measure(
        key="token_entropy",
        title="router entropy",
        group=CERTAINTY,
        formula="mean H(pₜ) / log N",
        definition="How undecided the router is about a token; 0 is certain.",
        n=_tokens,
        usual=_one,
        undefined=_ONE_EXPERT,
    ),
    Measure(
        key="marginal_entropy",
        title="marginal entropy",
        group=CERTAINTY,
        formula="H(P) / log N",
        definition="How evenly the probabilities are spread over the experts, all tokens together.",
        n=_tokens,
        usual=_one,
        undefined=_ONE_EXPERT,
    ),
    Measure(
        key="token_information",
        title="token information",
        group=CERTAINTY,
        formula="I(token; expert) = H(P) − mean H(pₜ)",
        definition="How much the router's probabilities depend on the token; log₂ N at most.",
        n=_tokens,
        usual=lambda layer: _bits(layer) / 4,
        undefined="no token has a score above 0",
        unit="bits",
    ),
    Measure(
        key="confidence",
        title="confidence",
        group=CERTAINTY,
        formula="mean p₍₁₎",
        definition="The largest probability of a token, on average.",
        n=_tokens,
        usual=_one,
        undefined="no token has a score above 0",
    ),
    Measure(
        key="margin",
        title="margin",
        group=CERTAINTY,
        formula="mean p₍₁₎ − p₍₂₎",
        definition="How far the first choice leads the second, on average.",
        n=_tokens,
        usual=lambda _layer: 0.5,
        undefined=_ONE_EXPERT,
    ),
    Measure(
        key="z_loss",
        title="z-loss",
        group=CERTAINTY,
        formula="mean (ln Σᵢ exp xᵢ)²",
        definition="How large the logits x are; large ones make training unstable.",
        n=_tokens,
        usual=lambda layer: 2 * math.log(layer.num_experts) ** 2,
        undefined=_NEVER,
    ),
    Measure(
        key="repetition",
        title="repetition",
        group=ALONG,
        formula="mean |Eₜ ∩ Eₜ₋₁| / k",
        definition="How often a token gets the expert of the token before it.",
        n=_neighbours,
        usual=_one,
        undefined="one token has no neighbour",
    ),
    Measure(
        key="transition_information",
        title="transition information",
        group=DEPTH,
        formula="I(eₗ₋₁; eₗ)",
        definition="How much the expert in the layer before tells about the expert here.",
        n=_tokens,
        usual=lambda layer: _bits(layer) / 2,
        undefined="one token can't be shuffled",
        unit="bits",
    ),
    Measure(
        key="load_distance",
        title="load distance",
        group=DEPTH,
        formula="JS(fₗ₋₁, fₗ)",
        definition="How different the load is from that of the layer before (Jensen–Shannon), "
        "experts taken by their number, which says nothing between layers.",
        n=_assignments,
        usual=_one,
        undefined="the two layers differ in their number of experts",
        unit="bits",
    ),
    Measure(
        key="saturation",
        title="saturation",
        group=DEPTH,
        formula="mean |Eₜ ∩ Eₜ(last)| / k",
        definition="How many of a token's experts have the same number as in the last layer, "
        "where it is 1 by definition.",
        n=_tokens,
        usual=_one,
        undefined="this layer and the last differ in their experts",
    ),
)

_FROM_BEFORE = ("transition_information", "load_distance")


def why_undefined(measure: Measure, index: int) -> str:
    """Why a measure has no value at the layer `index`."""
    return _FIRST if index == 0 and measure.key in _FROM_BEFORE else measure.undefined
