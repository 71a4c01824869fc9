"""Text → HTTP answer, recorded and not, against making the trace alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import httpx

from app.routing.capture import capture
from benchmarks.measure import Result, paired
from benchmarks.serving import served
from benchmarks.setting import default_model, max_tokens, text_of

LENGTH = 28
RUNS = 40


def run() -> Iterator[Result]:
    """Answers without and with recording; the latter wait until the run is kept."""
    loaded, limit = default_model(), max_tokens()
    beginning = text_of(LENGTH)

    def text(turn: int, kind: str) -> str:
        # Another text each time: the server remembers what it has traced.
        return f"{beginning} {kind} {turn}"

    with served() as address, httpx.Client(base_url=address, timeout=60) as client:

        def ask(turn: int, record: bool) -> None:
            body = {"text": text(turn, f"record {record}"), "record": record}
            answer = client.post("/api/v1/analyses", json=body)
            answer.raise_for_status()
            status = answer.json()["status"]
            # The first ones may find the store still being opened.
            if turn >= 0 and status != ("recorded" if record else "not recorded"):
                raise RuntimeError(f"the analysis is {status}: {answer.text[:200]}")

        for record, name in ((False, "not recorded"), (True, "recorded")):
            yield paired(
                f"text → HTTP answer, {name}",
                partial(ask, record=record),
                "sentence → trace",
                lambda turn: capture(loaded, text(turn, "alone"), limit),
                RUNS,
            )
