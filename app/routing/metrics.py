"""Routing metrics as published: pure numpy, one public function each.

Symbols: N experts, T tokens, k chosen per token, p the router's probabilities, n_i the
number of assignments to expert i, f_i = n_i / (kT) its load. An undefined value is NaN.
A dropped token counts in the load of the expert that its router chose, and in the drop rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.routing.trace import RouterLayer

Floats = NDArray[np.float64]


def expert_load(experts: NDArray[np.integer], num_experts: int) -> Floats:
    """Load f_i = n_i / (kT), float64 [N], sums to 1 (Fedus et al. 2021, eq. 5, for k = 1).

    `experts` int [T, k]. Balanced routing gives 1/N everywhere. NaN without tokens.
    """
    counts = np.bincount(np.asarray(experts).ravel(), minlength=num_experts).astype(np.float64)
    total = counts.sum()
    return counts / total if total else np.full(num_experts, np.nan)


def coefficient_of_variation(load: Floats) -> float:
    """σ(f) / μ(f) with the population σ (Shazeer et al. 2017, §4): 0 balanced, √(N−1) at most.

    `load` float [N]. NaN for an empty or all-zero load.
    """
    mean = float(np.mean(load)) if len(load) else 0.0
    return float(np.std(load) / mean) if mean else float("nan")


def active_share(load: Floats) -> float:
    """Share of experts that took at least one token, in (0, 1]. NaN for an undefined load."""
    if not len(load) or np.isnan(load).any():
        return float("nan")
    return float(np.mean(np.asarray(load) > 0))


def token_entropy(probabilities: NDArray[np.floating]) -> float:
    """Mean over tokens of H(p_t) / log N, in [0, 1]: 1 when a router is undecided.

    `probabilities` float [T, N]. NaN without tokens or with one expert (log N = 0).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape[0] == 0 or p.shape[1] < 2:
        return float("nan")
    terms = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1.0)), 0.0)
    return float(-terms.sum(axis=1).mean() / np.log2(p.shape[1]))


def load_entropy(load: Floats) -> float:
    """H(f) / log N of the load, in [0, 1]: 1 when balanced, 0 when one expert takes all.

    `load` float [N]. NaN for an undefined load or one expert.
    """
    return token_entropy(np.asarray(load)[None, :]) if not np.isnan(load).any() else float("nan")


def confidence(probabilities: NDArray[np.floating]) -> float:
    """Mean over tokens of the largest probability p₍₁₎, in [1/N, 1]. NaN without tokens.

    `probabilities` float [T, N].
    """
    p = np.asarray(probabilities, dtype=np.float64)
    return float(p.max(axis=1).mean()) if p.size else float("nan")


def drop_rate(dropped: NDArray[np.bool_]) -> float:
    """Share of tokens that the expert capacity left unprocessed (Fedus et al. 2021, §2.2).

    `dropped` bool [T]. NaN without tokens.
    """
    return float(np.mean(dropped)) if len(dropped) else float("nan")


def layer_metrics(layer: RouterLayer) -> dict[str, float]:
    """Every measure of one router layer that is drawn and recorded, by name."""
    load = expert_load(layer.experts, layer.num_experts)
    return {
        "load_cv": coefficient_of_variation(load),
        "load_entropy": load_entropy(load),
        "token_entropy": token_entropy(layer.probabilities),
        "active_experts": active_share(load) * layer.num_experts,
        "confidence": confidence(layer.probabilities),
        "dropped": float(np.sum(layer.dropped)),
    }
