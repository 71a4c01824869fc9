"""Key press → painted diagrams in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Result


def run() -> Iterator[Result]:
    yield from ()
