"""Timing in pairs: a thing and its baseline take turns, so that both see the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """What a figure may be at most. `beyond_ms` is the p95 less the baseline's median."""

    figure: Literal["ratio", "median_ms", "p95_ms", "beyond_ms", "value"]
    most: float

    def verdict(self, value: float) -> str:
        """«met», or by how much it was missed."""
        if value <= self.most:
            return "met"
        # Of nothing there are no per cents.
        return f"missed by {value / self.most - 1:.0%}" if self.most else "missed"


@dataclass(frozen=True)
class Result:
    """Times in milliseconds against a baseline's; `ratio` is median over baseline's median."""

    name: str
    baseline: str
    runs: int
    median_ms: float
    p95_ms: float
    baseline_ms: float
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        return self.median_ms / self.baseline_ms

    @property
    def beyond_ms(self) -> float:
        return self.p95_ms - self.baseline_ms

    def line(self) -> str:
        """For the table."""
        times = (self.median_ms, self.p95_ms, self.baseline_ms)
        columns = "  ".join(f"{value:7.2f} ms" for value in times)
        what = f"{self.name} / {self.baseline} (n={self.runs})"
        return f"{self.ratio:7.2f}×  {columns}  {_goal(self):38}  {what}"

    def plain(self) -> dict[str, Any]:
        """For bench.json."""
        return {"ratio": round(self.ratio, 3), **_plain(self)}


@dataclass(frozen=True)
class Amount:
    """One number that is no time against a baseline: bytes, errors, megabytes."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None

    def line(self) -> str:
        """For the table."""
        return f"{self.value:44,.2f} {self.unit:4}  {_goal(self):38}  {self.name}"

    def plain(self) -> dict[str, Any]:
        """For bench.json."""
        return _plain(self)


@dataclass(frozen=True)
class Unmeasured:
    """What this machine can't tell, and why; its goal is neither met nor missed."""

    name: str
    reason: str

    def line(self) -> str:
        """For the table."""
        return f"not measured here, {self.reason}: {self.name}"

    def plain(self) -> dict[str, Any]:
        """For bench.json."""
        return asdict(self)


def _goal(measured: Result | Amount) -> str:
    if measured.goal is None:
        return ""
    goal = measured.goal
    figures = {"ratio": "ratio", "median_ms": "median", "p95_ms": "p95", "beyond_ms": "p95 − base"}
    name = f"{figures[goal.figure]} " if goal.figure in figures else ""
    unit = "×" if goal.figure == "ratio" else " ms" if goal.figure != "value" else ""
    return f"{name}≤ {goal.most:g}{unit}: {goal.verdict(getattr(measured, goal.figure))}"


def _plain(measured: Result | Amount) -> dict[str, Any]:
    plain: dict[str, Any] = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in asdict(measured).items()
    }
    if measured.goal is not None:
        value = getattr(measured, measured.goal.figure)
        plain["goal"]["met"] = value <= measured.goal.most
    return plain


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
    goal: Goal | None = None,
) -> Result:
    """Times both in turns, after a few turns that don't count. Both are told the turn."""
    seconds, baseline_seconds = [], []
    for turn in range(-warm_up, runs):
        one = seconds_of(partial(action, turn))
        other = seconds_of(partial(baseline, turn))
        if turn >= 0:
            seconds.append(one)
            baseline_seconds.append(other)
    return replace(result(name, seconds, baseline_name, baseline_seconds), goal=goal)
