"""Which label values an expert prefers, and how much its layer's choices say about the label.

Documents without a label are left out. Labels belong to documents, and tokens of one document
depend on each other: intervals and nulls are of documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from app.corpus.counting.counts import Counts
from app.corpus.counting.labels import Labels
from app.corpus.counting.layout import Floats, Ints
from app.corpus.counting.ratios import ratio
from app.routing.metrics import entropy_bits, mutual_information


@dataclass(frozen=True)
class LabelProfile:
    """The V values that have tokens, and the E experts of a layer.

    `values` in sorted order, «other» last; `tokens`, `documents` int64 [V]. `share`
    P(expert | value), `risk_ratio`, its interval `low`, `high`, and `recall`, the value's share
    of the expert's tokens, float64 [E, V]; `baseline` P(expert) float64 [E]. `level` is each
    interval's after correction for `comparisons`.
    """

    values: tuple[str, ...]
    tokens: Ints
    documents: Ints
    share: Floats
    baseline: Floats
    recall: Floats
    risk_ratio: Floats
    low: Floats
    high: Floats
    level: float
    comparisons: int


def label_profile(counts: Counts, layer: int, column: str, level: float = 0.95) -> LabelProfile:
    """Risk ratio P(expert | value) / P(expert), P(expert) over all labelled tokens.

    The interval is exp(log RR ± z · se), se the standard deviation of log RR over the
    resamples (a normal bootstrap interval: Davison and Hinkley 1997, §5.2, eq. 5.5). All
    intervals of a layer and column hold together with probability `level`: z is that of
    1 − (1 − level) / comparisons (Bonferroni 1936), with an expert of one value each a
    comparison. Percentiles would not do: 200 resamples end at 0.5 %. NaN where the value has no
    token or the expert none; no interval where a resample lacks the pair, which is likely
    below some eight documents that have it, and none for a single value, whose ratio is 1.
    KeyError for another column.
    """
    part, found = counts.layout.part(layer), counts.labels[column]
    rows = _rows(found)
    tokens, assigned = found.tokens[rows], found.assignments[rows, part].T
    share = ratio(assigned, tokens)
    baseline = ratio(assigned.sum(axis=1), tokens.sum())
    resampled_tokens = found.resampled_tokens[rows]
    resampled = found.resampled[rows, :, part]
    resampled_share = ratio(resampled, resampled_tokens[:, :, None])
    resampled_base = ratio(resampled.sum(axis=0), resampled_tokens.sum(axis=0)[:, None])
    ratios = ratio(resampled_share, resampled_base).transpose(2, 0, 1)
    comparisons = share.size
    corrected = 1 - (1 - level) / max(comparisons, 1)
    z = NormalDist().inv_cdf((1 + corrected) / 2)
    possible = (ratios > 0).all(axis=2) & (len(rows) > 1)
    error: Floats = np.full(share.shape, np.nan)
    error[possible] = np.log(ratios[possible]).std(axis=1, ddof=1)
    risk_ratio = ratio(share, baseline[:, None])
    return LabelProfile(
        values=tuple(found.names[row] for row in rows),
        tokens=tokens,
        documents=found.documents[rows],
        share=share,
        baseline=baseline,
        recall=ratio(assigned, assigned.sum(axis=1, keepdims=True)),
        risk_ratio=risk_ratio,
        low=risk_ratio * np.exp(-z * error),
        high=risk_ratio * np.exp(z * error),
        level=corrected,
        comparisons=comparisons,
    )


@dataclass(frozen=True)
class LabelInformation:
    """I(label; expert) in bits, its interval, and two nulls to read it against.

    `bias` is what independent tokens alone would give, too little where tokens of a document
    are alike. `sample_bits` is the information in the sampled documents, `null_bits` and
    `null_high` mean and 95th percentile when their labels are shuffled; `p_value` of the
    sample's bits. `sampled` documents of `documents`, `tokens`: those with a label.
    """

    bits: float
    low: float
    high: float
    bias: float
    sample_bits: float
    null_bits: float
    null_high: float
    p_value: float
    sampled: int
    documents: int
    tokens: int


def label_information(
    counts: Counts,
    layer: int,
    column: str,
    level: float = 0.95,
    permutations: int = 200,
    seed: int = 0,
) -> LabelInformation:
    """Mutual information of a document label and a token's expert (`mutual_information`).

    A plug-in estimate: it is biased upward by (V − 1)(E − 1) / (2 n ln 2) for n independent
    assignments (Miller 1955). Resamples repeat that bias, so the interval is the basic one,
    2 · bits − quantile (Davison and Hinkley 1997, §5.2), not below 0, and undefined for fewer
    than two documents. The null gives the sampled documents each other's labels: exact under
    exchange of documents, p = (1 + b) / (1 + permutations) for b shuffles with at least as many
    bits (Phipson and Smyth 2010). Compare `null_bits` with `sample_bits`: where the corpus is
    larger than the sample, `bits` has less bias than both. KeyError for another column.
    """
    part, found = counts.layout.part(layer), counts.labels[column]
    rows = _rows(found)
    joint = found.assignments[rows, part]
    bits = mutual_information(joint)
    low = high = bias = float("nan")
    if joint.sum():
        experts = int((joint.sum(axis=0) > 0).sum())
        bias = (len(rows) - 1) * (experts - 1) / (2 * float(joint.sum()) * np.log(2))
    if found.documents.sum() > 1 and joint.sum():
        drawn = found.resampled[rows, :, part].transpose(1, 0, 2)
        resampled = _information(drawn[drawn.sum(axis=(1, 2)) > 0])
        ends = np.quantile(resampled, [(1 + level) / 2, (1 - level) / 2])
        low, high = np.maximum(2 * bits - ends, 0).tolist()
    sampled = _labelled(counts, column, part)
    own, null = _shuffled(*sampled, permutations, seed)
    # Rounding must not make a shuffle differ that changes nothing.
    above = int((null >= own - 1e-12).sum())
    return LabelInformation(
        bits=bits,
        low=low,
        high=high,
        bias=bias,
        sample_bits=own,
        null_bits=float(null.mean()) if len(null) else float("nan"),
        null_high=float(np.quantile(null, 0.95)) if len(null) else float("nan"),
        p_value=(1 + above) / (1 + len(null)) if len(null) else float("nan"),
        sampled=len(sampled[0]),
        documents=int(found.documents.sum()),
        tokens=int(found.tokens.sum()),
    )


def _rows(found: Labels) -> Ints:
    """The rows with tokens, «other» last."""
    rows = np.roll(np.arange(len(found.tokens)), -1)
    return rows[found.tokens[rows] > 0]


def _information(joint: Floats) -> Floats:
    """`mutual_information` of each of counts [P, V, E], float64 [P]."""
    p = joint / joint.sum(axis=(1, 2), keepdims=True)
    bits = entropy_bits(p.sum(axis=1)) + entropy_bits(p.sum(axis=2))
    return np.asarray(np.maximum(bits - entropy_bits(p.reshape(len(p), -1)), 0.0))


def _labelled(counts: Counts, column: str, part: slice) -> tuple[Ints, Floats]:
    """Label row and assignments [D, E] of each sampled document that has a label."""
    sampled = counts.sample.documents()
    place = counts.label_columns.index(column)
    rows = counts.labels[column].rows(sampled.labels[:, place].tolist())
    return rows[rows >= 0], sampled.assignments[rows >= 0, part].astype(np.float64)


def _shuffled(rows: Ints, assigned: Floats, permutations: int, seed: int) -> tuple[float, Floats]:
    """The information in documents as they are, and after each shuffle of their labels."""
    if len(rows) < 2 or not assigned.sum():
        return float("nan"), np.zeros(0)
    by_label = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[by_label], prepend=-1))
    rng = np.random.default_rng(seed)
    orders = [by_label, *(rng.permutation(len(rows)) for _ in range(permutations))]
    joint = np.stack([np.add.reduceat(assigned[order], starts, axis=0) for order in orders])
    bits = _information(joint)
    return float(bits[0]), bits[1:]
