"""Timing in pairs: a thing and its baseline take turns, so that both see the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Result:
    """One line of the table. Times in milliseconds; `ratio` is median over baseline's median."""

    name: str
    baseline: str
    runs: int
    median_ms: float
    p95_ms: float
    baseline_ms: float

    @property
    def ratio(self) -> float:
        return self.median_ms / self.baseline_ms

    def plain(self) -> dict[str, Any]:
        """For bench.json."""
        return {"ratio": round(self.ratio, 3)} | {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def result(
    name: str, seconds: Sequence[float], baseline: str, baseline_seconds: Sequence[float]
) -> Result:
    """Sums up two lists of seconds."""
    return Result(
        name=name,
        baseline=baseline,
        runs=len(seconds),
        median_ms=statistics.median(seconds) * 1e3,
        p95_ms=statistics.quantiles(seconds, n=20, method="inclusive")[-1] * 1e3,
        baseline_ms=statistics.median(baseline_seconds) * 1e3,
    )


def seconds_of(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def paired(
    name: str,
    action: Callable[[int], object],
    baseline_name: str,
    baseline: Callable[[int], object],
    runs: int,
    warm_up: int = 3,
) -> Result:
    """Times both in turns, after a few turns that don't count. Both are told the turn."""
    seconds, baseline_seconds = [], []
    for turn in range(-warm_up, runs):
        one = seconds_of(partial(action, turn))
        other = seconds_of(partial(baseline, turn))
        if turn >= 0:
            seconds.append(one)
            baseline_seconds.append(other)
    return result(name, seconds, baseline_name, baseline_seconds)
