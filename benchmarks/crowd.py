"""Twenty people type at the same time: how long an update takes, errors, memory.

`MOESCOPE_BENCH_MINUTES` makes it last longer than half a minute (`make soak`: ten).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.settings import load_settings
from benchmarks.measure import Amount, Goal, Result, result
from benchmarks.serving import Served, started

VISITORS = 20
ALONE_SECONDS, SECONDS = 8.0, 30.0
# Memory is compared after a fifth of the time, once every thread and cache has been used; that
# takes some minutes, so that a short run tells its growth without judging it.
_SHARE = 0.2
_LEAST_MINUTES = 5
_MOST_MS = 500
_MOST_GROWTH = 0.05
_LOOK_SECONDS = 1.0
_TEXTS = (
    "A router reads each token and sends it to one of eight experts, so that most of the network "
    "rests while a small part works on the words.",
    "Il faut cultiver notre jardin, dit Candide, et il reprit son chemin vers la petite ville qui "
    "dormait encore sous la neige.",
    "She sat on the bank of the river and the bank lent her money, which she spent on a boat with "
    "a red sail and two oars.",
    "def mean(values): return sum(values) / len(values)  # the mean of the values, which must not "
    "be empty",
)


@dataclass(frozen=True)
class Run:
    """Milliseconds by what was asked for, what went wrong, and megabytes while it lasted."""

    times: dict[str, list[float]]
    errors: list[str]
    seconds: float
    megabytes: list[float]

    @property
    def drawings(self) -> list[float]:
        return [milliseconds / 1000 for milliseconds in self.times["drawing"]]


def run() -> Iterator[Result | Amount]:
    """One visitor alone, then all of them."""
    minutes = float(os.environ.get("MOESCOPE_BENCH_MINUTES") or SECONDS / 60)
    with started() as server:
        alone = _typed(server, 1, ALONE_SECONDS)
        crowd = _typed(server, VISITORS, minutes * 60)
    for error in (*alone.errors, *crowd.errors)[:5]:
        print(f"  error: {error}", file=sys.stderr)
    yield replace(
        result(
            f"an update while {VISITORS} people type",
            crowd.drawings,
            "one alone",
            alone.drawings,
        ),
        goal=Goal("p95_ms", _MOST_MS),
    )
    yield Amount(f"updates for {VISITORS} people", len(crowd.drawings) / crowd.seconds, "/s")
    yield Amount("sentences recorded meanwhile", len(crowd.times.get("recorded", ())), "")
    errors = len(alone.errors) + len(crowd.errors)
    yield Amount(f"errors in {minutes:g} minutes", errors, "", Goal("value", 0))
    yield Amount("told to wait", len(crowd.times.get("busy", ())), "")
    yield from _memory(crowd.megabytes, minutes)


def _memory(megabytes: list[float], minutes: float) -> Iterator[Amount]:
    """The last fifth of the time against the second fifth."""
    fifth = max(1, int(len(megabytes) * _SHARE))
    early, late = (
        statistics.median(part) for part in (megabytes[fifth : 2 * fifth], megabytes[-fifth:])
    )
    goal = Goal("value", round(early * (1 + _MOST_GROWTH))) if minutes >= _LEAST_MINUTES else None
    yield Amount(f"memory after a fifth of {minutes:g} minutes", early, "MB")
    yield Amount("memory at the end", late, "MB", goal)


def _typed(server: Served, visitors: int, seconds: float) -> Run:
    """Lets some visitors type; watches the server's memory."""
    about: dict[str, Any] = {
        "texts": _TEXTS,
        "model": load_settings().default_model,
        "declared": httpx.get(f"{server.address}/_dash-dependencies").json(),
    }
    megabytes: list[float] = []
    over = threading.Event()

    def watch() -> None:
        process = psutil.Process(server.pid)
        while not over.wait(_LOOK_SECONDS):
            megabytes.append(process.memory_info().rss / 1e6)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as folder:
        source = Path(folder) / "about.json"
        source.write_text(json.dumps(about), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.visitors", server.address]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, str(visitors), str(seconds), str(source)],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 120,
        )
    over.set()
    watching.join()
    if done.returncode:
        raise RuntimeError(
            f"the visitors ended after {time.monotonic() - begun:.0f} s: {done.stderr}"
        )
    found = json.loads(done.stdout)
    return Run(found["times"], found["errors"], found["seconds"], megabytes)
