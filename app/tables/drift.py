"""How far values are from those of the training: histograms, and two distances between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.routing.metrics import jensen_shannon
from app.tables.recipe import FeatureKind

Counts = NDArray[np.int64]
Verdict = Literal["too few", "stable", "some", "much"]

# Bins of numbers, each with about as many training rows; levels with a bin of their own.
NUMBER_BINS = 10
MOST_LEVELS = 20
# By rule of thumb (Siddiqi 2006): below the first nothing to do, from the second on look.
SOME, MUCH = 0.1, 0.25
# Added to every count, so that an empty bin is no infinite distance (Jeffreys' prior).
_PRIOR = 0.5
# 95 % of a normal distribution are below.
_Z = 1.6448536269514722


@dataclass(frozen=True)
class Bins:
    """How values are counted; the last bin is for missing ones.

    Numbers: one bin for those below `low`, the lowest of the training, one up to each of
    `edges`, and one for those above the highest. Categories: one for each of `levels`, and one
    for all others.
    """

    kind: FeatureKind
    low: float | None = None
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @classmethod
    def of_training(cls, column: pd.Series) -> Bins:
        """Those for a column of the training (`Fitted.inputs`, or predictions).

        Numbers are cut at their deciles, fewer where these coincide.
        """
        present = column.dropna()
        if not pd.api.types.is_numeric_dtype(column.dtype):
            counts = present.value_counts()
            frequent = sorted(counts.index, key=lambda each: (-counts[each], each))
            return cls("category", levels=tuple(map(str, frequent[:MOST_LEVELS])))
        if present.empty:
            return cls("number")
        shares = np.arange(1, NUMBER_BINS + 1) / NUMBER_BINS
        # Values that occur, so that a bin never ends between two equal ones.
        cuts = np.unique(np.quantile(present.to_numpy(), shares, method="inverted_cdf"))
        return cls("number", float(present.min()), tuple(cuts.tolist()))

    def __len__(self) -> int:
        return len(self.titles)

    @property
    def titles(self) -> tuple[str, ...]:
        """A name for each bin."""
        if self.kind == "category":
            return (*self.levels, "others", "missing")
        if self.low is None:
            return ("any", "missing")
        ends = (self.low, *self.edges)
        between = [
            f"{a:g}" if a == b else f"{a:g} to {b:g}"
            for a, b in zip(ends, self.edges, strict=False)
        ]
        return (f"below {self.low:g}", *between, f"above {self.edges[-1]:g}", "missing")

    def count(self, column: pd.Series) -> Counts:
        """How many values are in each bin, int64 [bins]. Counts of parts add up."""
        missing = column.isna().to_numpy()
        if self.kind == "number":
            values = column.to_numpy(dtype=np.float64)
            places = np.searchsorted(np.array(self.edges), values, side="left")
            if self.low is not None:
                places = np.where(values < self.low, 0, places + 1)
        else:
            places = pd.Index(self.levels, dtype="str").get_indexer(column.astype("str"))
            places = np.where(places < 0, len(self) - 2, places)
        found: Counts = np.bincount(np.where(missing, len(self) - 1, places), minlength=len(self))
        return found

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"edges": list(self.edges), "levels": list(self.levels)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Bins:
        """The inverse of `plain`. Raises TypeError or KeyError for other values."""
        return cls(values["kind"], values["low"], tuple(values["edges"]), tuple(values["levels"]))


@dataclass(frozen=True)
class Drift:
    """How far the counts of one column are from those of the training.

    `chance` is what the PSI stays below in 95 % of samples of these sizes without any drift.
    NaN without values.
    """

    psi: float
    jensen_shannon: float
    chance: float
    rows: int

    @property
    def verdict(self) -> Verdict:
        """In a word. "too few": no more than chance explains, but chance alone could pass the
        threshold, so nothing is known yet."""
        if not self.rows or (self.psi <= self.chance and self.chance > SOME):
            return "too few"
        if self.psi < SOME or self.psi <= self.chance:
            return "stable"
        return "some" if self.psi < MUCH else "much"


def drift(training: Counts, now: Counts) -> Drift:
    """The drift of counts by the same `Bins`. ValueError for other shapes."""
    if training.shape != now.shape:
        raise ValueError(f"shapes {training.shape} and {now.shape} differ")
    rows, of_training = int(now.sum()), int(training.sum())
    if not rows or not of_training:
        return Drift(np.nan, np.nan, np.nan, rows)
    # Bins that neither has are no bins.
    there = (training + now) > 0
    before, after = training[there], now[there]
    divergence = jensen_shannon(before / of_training, after / rows)
    return Drift(psi(before, after), float(divergence), psi_by_chance(before, after), rows)


def psi(training: Counts, now: Counts) -> float:
    """Population stability index, Σ (q_i − p_i) ln(q_i / p_i), 0 for the same shares, in nats.

    Siddiqi 2006, «Credit Risk Scorecards»; the symmetric divergence of Jeffreys 1946 and
    Kullback and Leibler 1951. p and q are the shares of counts to which ½ is added.
    """
    p, q = training + _PRIOR, now + _PRIOR
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(training: Counts, now: Counts) -> float:
    """The 95 % point of the PSI of two samples of one distribution, 0 for a single bin.

    (1/n + 1/m) χ²₀.₉₅(B − 1) for n and m rows in B bins (Yurdakul 2018, «Statistical properties
    of population stability index»), with the quantile's approximation of Wilson and
    Hilferty 1931. Holds for some rows in each bin.
    """
    degrees = len(training) - 1
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    quantile = degrees * (1 - part + _Z * np.sqrt(part)) ** 3
    return float(quantile * (1 / training.sum() + 1 / now.sum()))
