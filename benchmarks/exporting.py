"""Trace → CSV, against making the trace."""

from __future__ import annotations

from collections.abc import Iterator

from app.recording.export import routing_csv
from app.routing.capture import capture
from benchmarks.measure import Result, paired
from benchmarks.setting import default_model, max_tokens, text_of

LENGTHS = (32, 128)
RUNS = 40


def run() -> Iterator[Result]:
    """One result per length."""
    loaded, limit = default_model(), max_tokens()
    for length in LENGTHS:
        text = text_of(length)
        trace = capture(loaded, text, limit)
        yield paired(
            f"trace → CSV, {length} tokens",
            lambda _turn, trace=trace: routing_csv(trace),  # type: ignore[misc]
            "sentence → trace",
            lambda _turn, text=text: capture(loaded, text, limit),  # type: ignore[misc]
            RUNS,
        )
