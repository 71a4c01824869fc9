"""What two passes differ in: the loads of one layer, with intervals of documents."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from app.corpus.counting.counts import Counts
from app.corpus.counting.layout import Floats, Ints
from app.corpus.counting.ratios import ratio


@dataclass(frozen=True)
class LoadDifference:
    """The load in b less that in a of each of a layer's E experts, float64 [E].

    `low` and `high` are the ends of its interval, NaN where either pass has fewer than two
    documents; `a`, `b` float64 [E] the loads, `n_a`, `n_b` int64 [E] their assignments. `moved` is
    half the sum of the absolute differences: the share of assignments that would have to go to
    another expert (total variation distance), NaN without tokens. Few tokens raise it.
    """

    a: Floats
    b: Floats
    n_a: Ints
    n_b: Ints
    low: Floats
    high: Floats
    moved: float

    @property
    def value(self) -> Floats:
        """b − a, float64 [E]."""
        return self.b - self.a


def same_experts(a: Counts, b: Counts) -> bool:
    """Whether both passes have as many layers, with as many experts each."""
    return [s.num_experts for s in a.shape] == [s.num_experts for s in b.shape]


def load_differences(
    a: Counts, b: Counts, paired: bool, level: float = 0.95
) -> tuple[LoadDifference, ...]:
    """The differences of all layers. ValueError unless `same_experts`.

    The interval is difference ± z · se, se the standard deviation over the resamples of documents
    (a normal bootstrap interval: Davison and Hinkley 1997, §5.2, eq. 5.5). All intervals hold
    together with probability `level`: z is that of 1 − (1 − level) / comparisons (Bonferroni
    1936), with each expert of each layer a comparison. `paired`: both passes read the same
    documents, so that a resample draws the same ones in both, which takes out what the documents
    differ by. Otherwise the resamples of both are independent of each other.
    """
    if not same_experts(a, b):
        raise ValueError("passes of other layers or experts have no difference of loads")
    z = NormalDist().inv_cdf((1 + 1 - (1 - level) / a.layout.size) / 2)
    return tuple(_difference(a, b, layer, paired, z) for layer in range(len(a.shape)))


def _difference(a: Counts, b: Counts, layer: int, paired: bool, z: float) -> LoadDifference:
    part = a.layout.part(layer)
    n_a, n_b = (each.usage.assignments[part] for each in (a, b))
    loads = [ratio(n, n.sum()) for n in (n_a, n_b)]
    difference = loads[1] - loads[0]
    error: Floats = np.full(len(difference), np.nan)
    if min(a.documents, b.documents) > 1:
        drawn = [_resampled(each, part) for each in (a, b)]
        # A document's weights follow from its number: of two corpora with one seed, the same
        # resample would draw the documents at the same places.
        other = drawn[1] if paired else np.roll(drawn[1], 1, axis=0)
        differences = other - drawn[0]
        differences = differences[~np.isnan(differences).any(axis=1)]
        if len(differences) > 1:
            error = differences.std(axis=0, ddof=1)
    return LoadDifference(
        a=loads[0],
        b=loads[1],
        n_a=n_a.copy(),
        n_b=n_b.copy(),
        low=difference - z * error,
        high=difference + z * error,
        moved=float(np.abs(difference).sum() / 2),
    )


def _resampled(counts: Counts, part: slice) -> Floats:
    drawn = counts.resamples.assignments[:, part]
    return ratio(drawn, drawn.sum(axis=1, keepdims=True))
