"""What is noted of requests, and what many of them come to. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.automl.mojo import Scores
from app.serving.champions import Served
from app.tables.profile import Counted, Profile

Counts = NDArray[np.int64]
Outcome = Literal["answered", "refused", "failed"]

# Milliseconds; the last bin is for those above.
LATENCIES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


@dataclass(frozen=True)
class Note:
    """A request: how it went, how long it took, and, if it was answered, what was asked.

    `call` is the beginning of the ids of its rows, `at` its time in seconds since 1970.
    """

    served: Served
    outcome: Outcome
    seconds: float
    call: str = ""
    checked: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Scores | None = None
    at: float = field(default_factory=time.time)

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        return len(self.checked)

    @property
    def day(self) -> str:
        """In UTC, as in 2026-12-31."""
        return datetime.fromtimestamp(self.at, UTC).date().isoformat()


@dataclass
class Tally:
    """Requests of one version: how many, their rows, how many were refused or failed, the seconds
    of all, and counts int64: `latencies` by bins, `values` of features and predictions as `counted`
    numbers them, empty without an answer."""

    requests: int = 0
    rows: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    latencies: Counts = field(default_factory=lambda: np.zeros(len(LATENCIES) + 1, np.int64))
    values: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        if not len(self.values) or not len(other.values):
            values = self.values if len(self.values) else other.values
        else:
            values = self.values + other.values
        return Tally(
            self.requests + other.requests,
            self.rows + other.rows,
            self.refused + other.refused,
            self.failed + other.failed,
            self.seconds + other.seconds,
            self.latencies + other.latencies,
            values,
        )

    def latency(self, share: float) -> float | None:
        """Milliseconds that this share of the requests stay below, to the end of a bin; None
        without requests, infinite above the last bin."""
        total = self.latencies.sum()
        if not total:
            return None
        place = int(np.searchsorted(self.latencies.cumsum(), share * total))
        return float(LATENCIES[place]) if place < len(LATENCIES) else float("inf")


def tally(notes: Sequence[Note]) -> Tally:
    """Of requests to one version."""
    milliseconds = np.array([each.seconds * 1000 for each in notes])
    places = np.searchsorted(np.array(LATENCIES), milliseconds)
    answered = [each for each in notes if each.outcome == "answered"]
    return Tally(
        requests=len(notes),
        rows=sum(each.rows for each in answered),
        refused=sum(each.outcome == "refused" for each in notes),
        failed=sum(each.outcome == "failed" for each in notes),
        seconds=float(milliseconds.sum() / 1000),
        latencies=np.bincount(places, minlength=len(LATENCIES) + 1).astype(np.int64),
        values=_values(answered) if answered else np.zeros(0, np.int64),
    )


def counted(profile: Profile, values: Counts) -> Iterator[tuple[str, Counted, Counts]]:
    """Name, what the training had, and the counts now: of each feature, then of the predictions,
    whose name is ""."""
    named = [*profile.features.items(), ("", profile.predictions)]
    ends = np.cumsum([0, *(len(each.bins) for _, each in named)]).tolist()
    if len(values) != ends[-1]:
        values = np.zeros(ends[-1], np.int64)
    for (name, each), (begin, end) in zip(named, pairwise(ends), strict=True):
        yield name, each, values[begin:end]


def _values(answered: Sequence[Note]) -> Counts:
    predictor = answered[0].served.predictor
    profile = predictor.profile
    inputs = predictor.inputs(_joined(each.checked for each in answered))
    predicted = [
        value for each in answered if each.scores for value in predictor.named(each.scores)
    ]
    kind = np.float64 if predictor.columns.task == "regression" else "str"
    return np.concatenate(
        [
            *(each.bins.count(inputs[name]) for name, each in profile.features.items()),
            profile.predictions.bins.count(pd.Series(predicted, dtype=kind)),
        ]
    )


def _joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    some = list(frames)
    return some[0] if len(some) == 1 else pd.concat(some, ignore_index=True)
