"""Routing metrics as published: pure numpy, one public function each (docs/metrics.md).

Symbols: N experts, T tokens, k chosen per token, e_t the experts that token t chose, p_t its
probabilities, P their mean over tokens, n_i the number of assignments to expert i,
f_i = n_i / (kT) its load, H entropy. Logarithms are base 2 unless said otherwise, σ is the
population's, calculations are float64. `experts` is int [T, k], or [T] for first choices;
`probabilities` are float [T, N], rows summing to 1; `load` is float [N], scaled to sum 1.
Undefined values are NaN: of no tokens, and of an empty, all-zero or undefined load.
Impossible inputs raise ValueError. A dropped token counts in the load of the expert that its
router chose, and in the drop rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.routing.results import Counts, DropRate, Entropy, Floats, Repetition, Specialisation
from app.routing.results import Paths as Paths
from app.routing.results import TransitionInformation as TransitionInformation
from app.routing.trace import RouterLayer

Experts = NDArray[np.integer]
Probabilities = NDArray[np.floating]

NAN = float("nan")
# Entries of [T, R, N'] while tokens are permuted R times: few enough for a processor's cache.
_ENTRIES = 2_000_000


def _chosen(experts: Experts, num_experts: int | None) -> NDArray[np.int64]:
    """Experts as int64 [T, k]. An index out of range would be counted for another expert."""
    chosen = np.asarray(experts, dtype=np.int64)
    chosen = chosen[:, None] if chosen.ndim == 1 else chosen
    if chosen.ndim != 2:
        raise ValueError(f"experts are [T, k], not of shape {chosen.shape}")
    beyond = num_experts is not None and (chosen >= num_experts).any()
    if beyond or (chosen < 0).any():
        raise ValueError(f"an index is out of range: negative, or {num_experts} and more")
    return chosen


def entropy_bits(p: NDArray[Any]) -> Floats:
    """H(p) = −Σ p_i log2 p_i over the last axis, with 0 log 0 = 0. float64 [...] of [..., N]."""
    values = np.asarray(p, dtype=np.float64)
    terms = values * np.log2(np.where(values > 0, values, 1.0))
    # Subtracted from 0.0, so that certainty is 0.0 and never −0.0.
    return np.asarray(0.0 - terms.sum(axis=-1))


def _entropy(bits: float, num_experts: int) -> Entropy:
    if num_experts < 2:
        return Entropy(bits, NAN)
    most = float(np.log2(num_experts))
    # Rounding must not lift a uniform distribution above the range.
    bits = most if most < bits < most * (1 + 1e-9) else bits
    return Entropy(bits, bits / most)


def distribution(probabilities: Probabilities) -> Floats:
    """p_t / Σ_i p_t,i, float64 [T, N]: affinities of sigmoid routers made to sum to 1.

    DeepSeek-V3 (arXiv 2412.19437, §2.1.2) normalises its affinities so in the balance loss.
    Softmax stays as it is, but for float32 rounding. A row of zeros gives a row of NaN.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    total = p.sum(axis=-1, keepdims=True)
    out: Floats = np.full(p.shape, np.nan)
    divided: Floats = np.divide(p, total, out=out, where=total > 0)
    return divided


def expert_load(experts: Experts, num_experts: int) -> Floats:
    """Load f_i = n_i / (kT), float64 [N], sums to 1 (Fedus et al. 2021, eq. 5, for k = 1).

    Balanced routing gives 1/N everywhere, no tokens NaN.
    """
    counts = np.bincount(_chosen(experts, num_experts).ravel(), minlength=num_experts)
    total = counts.sum()
    return counts / total if total else np.full(num_experts, np.nan)


def _shares(load: Floats) -> Floats | None:
    """The load scaled to sum 1; None for an empty, all-zero or undefined one."""
    f = np.asarray(load, dtype=np.float64)
    total = f.sum()
    return np.asarray(f / total) if total > 0 else None


def coefficient_of_variation(load: Floats) -> float:
    """σ(f) / μ(f) with the population σ (Shazeer et al. 2017, §4): 0 balanced, √(N−1) at most."""
    f = _shares(load)
    return NAN if f is None else float(np.std(f) / np.mean(f))


def gini(load: Floats) -> float:
    """Gini coefficient Σ_i (2i−N−1) f₍ᵢ₎ / (N Σf), f ascending: 0 balanced, (N−1)/N at most."""
    f = _shares(load)
    if f is None:
        return NAN
    ranks = 2 * np.arange(1, len(f) + 1) - len(f) - 1
    return max(float(ranks @ np.sort(f) / len(f)), 0.0)


def max_violation(load: Floats) -> float:
    """MaxVio N·max f − 1 (Wang et al. 2024, arXiv 2408.15664): 0 balanced, N−1 at most."""
    f = _shares(load)
    return NAN if f is None else max(float(len(f) * f.max() - 1), 0.0)


def active_share(load: Floats) -> float:
    """Share of experts that took at least one token, in (0, 1]."""
    f = _shares(load)
    return NAN if f is None else float(np.mean(f > 0))


def auxiliary_loss(probabilities: Probabilities, experts: Experts, num_experts: int) -> float:
    """Balance loss N·Σ_i f_i P_i of one layer (Fedus et al. 2021, eq. 4, without its α).

    In [0, N/k]: 1 when f or P is balanced, N/k when the same k experts have all of both.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not p.shape[0]:
        return NAN
    return float(num_experts * (expert_load(experts, num_experts) @ p.mean(axis=0)))


def z_loss(logits: NDArray[np.floating]) -> float:
    """Mean over tokens of (ln Σ_i exp x_t,i)², natural logarithm (ST-MoE, Zoph et al. 2022, eq. 5).

    `logits` float [T, N], as the router gave them. At least 0, no upper end.
    """
    x = np.asarray(logits, dtype=np.float64)
    if not x.size:
        return NAN
    # The largest is taken out, so that exp cannot overflow.
    highest = x.max(axis=1, keepdims=True)
    log_sum = highest[:, 0] + np.log(np.exp(x - highest).sum(axis=1))
    return float(np.mean(log_sum**2))


def token_entropy(probabilities: Probabilities) -> Entropy:
    """Mean over tokens of H(p_t), in [0, log2 N] bits: high when the router is undecided."""
    p = np.asarray(probabilities, dtype=np.float64)
    return _entropy(float(entropy_bits(p).mean()) if p.size else NAN, p.shape[1])


def marginal_entropy(probabilities: Probabilities) -> Entropy:
    """H(P) of the mean distribution P, in [0, log2 N] bits: high when all experts are wanted."""
    p = np.asarray(probabilities, dtype=np.float64)
    return _entropy(float(entropy_bits(p.mean(axis=0))) if p.size else NAN, p.shape[1])


def load_entropy(load: Floats) -> Entropy:
    """H(f) of the load, in [0, log2 N] bits: log2 N when balanced, 0 when one expert takes all."""
    f = _shares(load)
    return _entropy(NAN if f is None else float(entropy_bits(f)), len(load))


def token_information(probabilities: Probabilities) -> float:
    """I(token; expert) = H(P) − mean H(p_t) in bits, in [0, log2 N].

    How much the choice depends on the token: 0 when all tokens have the same distribution.
    """
    bits = marginal_entropy(probabilities).bits - token_entropy(probabilities).bits
    # Never negative (Jensen); rounding can make it −1e−16. NaN passes through.
    return float(np.maximum(bits, 0.0))


def mutual_information(joint_counts: ArrayLike) -> float:
    """I(A; B) = H(A) + H(B) − H(A, B) in bits, plug-in estimate from counts [A, B].

    In [0, log2 min(A, B)]. Biased upward by about (A−1)(B−1)/(2n ln 2) bits for n counts
    (Miller 1955). NaN without counts.
    """
    counts = np.asarray(joint_counts)
    if not counts.sum() > 0:
        return NAN
    p = counts / counts.sum()
    bits = entropy_bits(p.sum(axis=1)) + entropy_bits(p.sum(axis=0)) - entropy_bits(p.ravel())
    return max(float(bits), 0.0)


def confidence(probabilities: Probabilities) -> float:
    """Mean over tokens of the largest probability p₍₁₎, in [1/N, 1]."""
    p = np.asarray(probabilities, dtype=np.float64)
    return float(p.max(axis=1).mean()) if p.size else NAN


def margin(probabilities: Probabilities) -> float:
    """Mean over tokens of the lead p₍₁₎ − p₍₂₎, in [0, 1]. NaN for N = 1: there is no second."""
    p = np.asarray(probabilities, dtype=np.float64)
    if not p.size or p.shape[1] < 2:
        return NAN
    two = np.partition(p, -2, axis=1)[:, -2:]
    return float((two[:, 1] - two[:, 0]).mean())


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Mean |A_t ∩ B_t| / k of two int [T, k] without repeated experts in a row."""
    if not a.size:
        return NAN
    return float((a[:, :, None] == b[:, None, :]).sum() / a.size)


def repetition_rate(experts: Experts, num_experts: int | None = None) -> Repetition:
    """Mean |e_t ∩ e_{t−1}| / k over neighbouring tokens, in [0, 1]; P(e_t = e_{t−1}) for k = 1.

    `experts` in the order of the text; NaN for fewer than two. `chance_load` Σ_i (k f_i)² / k is
    what tokens drawn independently at this load give, `chance_uniform` k/N what balanced ones do
    (NaN without `num_experts`). Mixtral (Jiang et al. 2024, arXiv 2401.04088, §5) counts the first
    choice, as with `experts[:, :1]`, and "first or second", where one shared expert suffices.
    """
    chosen = _chosen(experts, num_experts)
    pairs, k = max(len(chosen) - 1, 0), chosen.shape[1]
    if not pairs:
        return Repetition(NAN, NAN, NAN, 0)
    load = np.bincount(chosen.ravel()) / chosen.size
    uniform = k / num_experts if num_experts else NAN
    return Repetition(_overlap(chosen[1:], chosen[:-1]), float(k * (load @ load)), uniform, pairs)


def transition_counts(
    from_experts: Experts, to_experts: Experts, num_experts: int, num_to: int | None = None
) -> Counts:
    """How many tokens chose i in one layer and j in the other, int64 [N, N'], N' = `num_to` or N.

    Both int [T, k] of the same tokens; for k > 1 each token counts once for each of its pairs.
    """
    columns = num_experts if num_to is None else num_to
    a, b = _chosen(from_experts, num_experts), _chosen(to_experts, columns)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} tokens: both layers must have the same")
    pairs = a[:, :, None] * columns + b[:, None, :]
    counts = np.bincount(pairs.ravel(), minlength=num_experts * columns)
    return counts.reshape(num_experts, columns)


def transition_matrix(
    from_experts: Experts, to_experts: Experts, num_experts: int, num_to: int | None = None
) -> Floats:
    """P(e_{l+1} = j | e_l = i), float64 [N, N'], rows sum to 1. Arguments of `transition_counts`.

    A row of NaN where no token chose i.
    """
    counts = transition_counts(from_experts, to_experts, num_experts, num_to)
    return distribution(counts.astype(np.float64))


def transition_information(
    from_experts: Experts,
    to_experts: Experts,
    num_experts: int,
    permutations: int = 200,
    seed: int = 0,
    num_to: int | None = None,
) -> TransitionInformation:
    """I(e_l; e_{l+1}) in bits (`mutual_information` of `transition_counts`), with its null.

    The null permutes the tokens of one layer: both loads stay, their connection goes. Read the
    bits against it, since few tokens bias them upward. In [0, log2 min(N, N')]. NaN for fewer
    than two tokens (nothing to permute); the null is NaN without permutations.
    """
    columns = num_experts if num_to is None else num_to
    counts = transition_counts(from_experts, to_experts, num_experts, columns)
    a, b = _chosen(from_experts, num_experts), _chosen(to_experts, columns)
    if len(a) < 2:
        return TransitionInformation(NAN, NAN, NAN, len(a))
    bits = mutual_information(counts)
    if permutations < 1:
        return TransitionInformation(bits, NAN, NAN, len(a))
    # Both marginal entropies stay, and H(A, B) = log2 n − Σ c log2 c / n for n counts c.
    sums = _permuted(a, b, counts.shape, permutations, seed)
    null = np.maximum(bits + (sums[1:] - sums[0]) / counts.sum(), 0.0)
    return TransitionInformation(bits, float(null.mean()), float(np.quantile(null, 0.95)), len(a))


def _permuted(a: Counts, b: Counts, shape: tuple[int, ...], permutations: int, seed: int) -> Floats:
    """Σ c log2 c of `transition_counts`, as it is and after each permutation of b's tokens."""
    tokens, (n, columns) = len(a), shape
    chosen = transition_counts(np.arange(tokens), b, tokens, columns)
    load = np.bincount(a.ravel(), minlength=n)
    by_expert = np.split(np.argsort(a, axis=None) // a.shape[1], np.cumsum(load)[:-1])
    # No count is higher. The smaller its type, the more of them are added at once.
    highest = int(load.max() * chosen.max())
    chosen = chosen.astype(np.min_scalar_type(highest))
    c = np.arange(highest + 1)
    c_log_c = c * np.log2(np.maximum(c, 1))
    rng = np.random.default_rng(seed)
    step = max(1, _ENTRIES // (tokens * columns))
    found = np.zeros(permutations + 1)
    for start in range(0, permutations + 1, step):
        sums = found[start : start + step]
        order = np.tile(np.arange(tokens), (len(sums), 1))
        shuffled = order if start else order[1:]
        rng.permuted(shuffled, axis=1, out=shuffled)
        rows = chosen.take(order.T, axis=0).reshape(tokens, len(sums) * columns)
        # Reused, and one expert at a time: fresh memory would cost more than the sums.
        copied = np.empty((int(load.max()), rows.shape[1]), rows.dtype)
        for its in by_expert:
            part = rows.take(its, axis=0, out=copied[: len(its)], mode="clip")
            counts = np.add.reduce(part, axis=0, dtype=rows.dtype)
            sums += c_log_c.take(counts).reshape(len(sums), columns).sum(axis=1)
    return found


def co_activation(experts: Experts, num_experts: int) -> Floats:
    """N(ij) / N(i), float64 [N, N]: of the tokens of i, which share also chose j (OLMoE, §5).

    Every pair among the k counts (Muennighoff et al. 2024, arXiv 2409.02060). In [0, 1]; a row sums
    to k − 1. NaN on the diagonal, in the row of an expert without tokens, for k = 1 everywhere.
    """
    return _conditional(transition_counts(experts, experts, num_experts), experts, num_experts)


def rank_adjacent_co_activation(experts: Experts, num_experts: int) -> Floats:
    """`co_activation` that counts pairs of neighbouring ranks only, as OLMoE's own script does.

    `experts` in order of rank. A row sums to at most 2. NaN as in `co_activation`.
    """
    chosen = _chosen(experts, num_experts)
    pairs = transition_counts(chosen[:, :-1].ravel(), chosen[:, 1:].ravel(), num_experts)
    return _conditional(pairs + pairs.T, chosen, num_experts)


def _conditional(pairs: Counts, experts: Experts, num_experts: int) -> Floats:
    chosen = _chosen(experts, num_experts)
    if chosen.shape[1] < 2:
        return np.full((num_experts, num_experts), np.nan)
    single = np.bincount(chosen.ravel(), minlength=num_experts)[:, None]
    out = np.full(pairs.shape, np.nan)
    np.divide(pairs, single, out=out, where=single > 0)
    np.fill_diagonal(out, np.nan)
    return out


def path_statistics(experts: Experts, top: int = 10) -> Paths:
    """The paths that tokens take through L layers (arXiv 2604.17837).

    `experts` int [T, L], or [T, L, k]: then the set of a layer's k experts is one symbol,
    whatever their order. Entropy is the plug-in estimate, in [0, log2 T] bits; `coverage` has
    min(top, distinct) entries. Without tokens or layers: 0 distinct, NaN and no coverage.
    """
    paths = np.asarray(experts)
    if paths.ndim == 3:
        paths = np.sort(paths, axis=2).reshape(len(paths), paths.shape[1] * paths.shape[2])
    if not paths.size:
        return Paths(0, NAN, NAN, np.zeros(0), len(paths))
    share = np.unique(paths, axis=0, return_counts=True)[1] / len(paths)
    coverage = np.cumsum(np.sort(share)[::-1])[:top]
    per_token = len(share) / len(paths)
    return Paths(len(share), per_token, float(entropy_bits(share)), coverage, len(paths))


def specialisation(
    label_ids: NDArray[np.integer], experts: Experts, num_labels: int, num_experts: int
) -> Specialisation:
    """N(E, D) / N(D): which share of the tokens with label D chose expert E (OLMoE, §5).

    `label_ids` int [T], a domain per token, or token ids for vocabulary specialisation. Shares
    are in [0, 1], a row sums to k. NaN for a label without tokens.
    """
    chosen = _chosen(experts, num_experts)
    joint = transition_counts(label_ids, chosen, num_labels, num_experts)
    counts = np.bincount(np.asarray(label_ids, dtype=np.int64), minlength=num_labels)
    share = np.full(joint.shape, np.nan)
    np.divide(joint, counts[:, None], out=share, where=counts[:, None] > 0)
    return Specialisation(share, chosen.shape[1] / num_experts if num_experts else NAN, counts)


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float | Floats:
    """Jensen–Shannon divergence in bits, in [0, 1]: 0 for equals, 1 without common support.

    ½ Σ p log2(p/m) + ½ Σ q log2(q/m), m = ½(p + q) (Lin 1991). The divergence, not its square
    root. `p`, `q` float [N] give a float, [T, N] float64 [T]. ValueError unless both are
    distributions: not negative, sums within 1e−3 of 1 (they are then scaled to exactly 1).
    """
    a, b = _distributions(p), _distributions(q)
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
    total = a + b
    divided = np.where(total > 0, total, 1.0)
    terms = (a * np.log2(np.where(a > 0, 2 * a / divided, 1))).sum(axis=-1)
    terms += (b * np.log2(np.where(b > 0, 2 * b / divided, 1))).sum(axis=-1)
    bits: Floats = np.clip(terms / 2, 0.0, 1.0)
    return float(bits) if a.ndim == 1 else bits


def _distributions(p: ArrayLike) -> Floats:
    values = np.asarray(p, dtype=np.float64)
    sums = values.sum(axis=-1, keepdims=True)
    if not (np.abs(sums - 1) <= 1e-3).all() or (values < 0).any():
        raise ValueError("not a distribution: negative, undefined or not summing to 1")
    return np.asarray(values / sums)


def saturation(experts_a: Experts, experts_b: Experts) -> float:
    """Mean |E_t(a) ∩ E_t(b)| / k, in [0, 1] (OLMoE, §5); chance for balanced loads is k/N.

    Both int [T, k] of the same tokens, in OLMoE one layer at two checkpoints. Says something
    only where expert i means the same in both.
    """
    a, b = _chosen(experts_a, None), _chosen(experts_b, None)
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
    return _overlap(a, b)


def drop_rate(dropped: NDArray[np.bool_] | Sequence[NDArray[np.bool_]]) -> DropRate:
    """Share of tokens that the expert capacity left unprocessed (Fedus et al. 2021, §2.2).

    `dropped` bool [T], or several of them, one per sentence. By position (OpenMoE, Xue et al.
    2024, arXiv 2402.01739): the mean over the sentences that reach it. In [0, 1].
    """
    one = len(dropped) == 0 or np.ndim(dropped[0]) == 0
    rows = [np.asarray(row, dtype=bool) for row in ([dropped] if one else dropped)]
    longest = max(len(row) for row in rows)
    lost, reached = np.zeros(longest), np.zeros(longest)
    for row in rows:
        lost[: len(row)] += row
        reached[: len(row)] += 1
    n = int(reached.sum())
    return DropRate(float(lost.sum() / n) if n else NAN, lost / reached, n)


def layer_metrics(layer: RouterLayer) -> dict[str, float]:
    """Every measure of one router layer that is drawn and recorded, by name.

    Entropies, information, auxiliary loss, confidence and margin are of `distribution`, which
    changes only routers without softmax; tokens without one (all zero) are left out of them.
    The z-loss takes the logits as they are. Entropies without a unit are divided by log2 N.
    """
    load = expert_load(layer.experts, layer.num_experts)
    p = distribution(layer.probabilities)
    known = ~np.isnan(p[:, 0])
    p = p if known.all() else p[known]
    of_tokens, of_mean, of_load = token_entropy(p), marginal_entropy(p), load_entropy(load)
    repetition = repetition_rate(layer.experts, layer.num_experts)
    return {
        "load_cv": coefficient_of_variation(load),
        "load_entropy": of_load.normalised,
        "token_entropy": of_tokens.normalised,
        "active_experts": active_share(load) * layer.num_experts,
        "confidence": confidence(p),
        "dropped": float(np.sum(layer.dropped)),
        "load_gini": gini(load),
        "max_violation": max_violation(load),
        "auxiliary_loss": auxiliary_loss(p, layer.experts, layer.num_experts),
        "z_loss": z_loss(layer.logits),
        "token_entropy_bits": of_tokens.bits,
        "marginal_entropy": of_mean.normalised,
        "marginal_entropy_bits": of_mean.bits,
        "load_entropy_bits": of_load.bits,
        "token_information": float(np.maximum(of_mean.bits - of_tokens.bits, 0.0)),
        "margin": margin(p),
        "repetition": repetition.rate,
        "repetition_chance": repetition.chance_load,
        "drop_rate": drop_rate(layer.dropped).overall,
    }


def stack_metrics(layers: Sequence[RouterLayer]) -> dict[str, list[float]]:
    """Measures between the router layers of one stack, by name, one value per layer.

    `transition_information` and `transition_null` (the mean of its null): from the layer before,
    NaN for the first. `load_distance`: Jensen–Shannon divergence from the load of the layer
    before, NaN for the first and where N differs. `saturation`: agreement with the last layer,
    NaN where N or k differ. The last two compare experts by number.
    """
    _same_tokens(layers)
    names = ("transition_information", "transition_null", "saturation", "load_distance")
    found: dict[str, list[float]] = {name: [] for name in names}
    for before, layer in zip([None, *layers], layers, strict=False):
        last = layers[-1]
        alike = (layer.num_experts, layer.top_k) == (last.num_experts, last.top_k)
        found["saturation"].append(saturation(layer.experts, last.experts) if alike else NAN)
        moved, distance = TransitionInformation(NAN, NAN, NAN, 0), NAN
        if before is not None:
            n, m = before.num_experts, layer.num_experts
            moved = transition_information(before.experts, layer.experts, n, num_to=m)
            if n == m:
                loads = (expert_load(each.experts, n) for each in (before, layer))
                distance = float(jensen_shannon(*loads))
        found["transition_information"].append(moved.bits)
        found["transition_null"].append(moved.null_mean)
        found["load_distance"].append(distance)
    return found


def trace_paths(layers: Sequence[RouterLayer], top: int = 10) -> Paths:
    """`path_statistics` over the router layers of one stack, which may differ in N and k."""
    _same_tokens(layers)
    if not layers:
        return Paths(0, NAN, NAN, np.zeros(0), 0)
    # Sorted by layer and side by side: equal rows are equal sets in every layer.
    return path_statistics(np.hstack([np.sort(layer.experts, axis=1) for layer in layers]), top)


def _same_tokens(layers: Sequence[RouterLayer]) -> None:
    if len({len(layer.experts) for layer in layers}) > 1:
        raise ValueError("the layers are of different tokens: give one stack at a time")
