"""Text → HTTP answer, recorded and not, against making the trace alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from app.routing.capture import capture
from benchmarks.measure import Result, paired, result, seconds_of
from benchmarks.serving import served
from benchmarks.setting import default_model, max_tokens, text_of

LENGTH = 28
RUNS = 40
_RECORD_SECONDS = 30.0


def run() -> Iterator[Result]:
    """Answers without and with recording, then the time until the record is kept."""
    loaded, limit = default_model(), max_tokens()
    beginning = text_of(LENGTH)

    def text(turn: int, kind: str) -> str:
        # Another text each time: the server remembers what it has traced.
        return f"{beginning} {kind} {turn}"

    with served() as address, httpx.Client(base_url=address, timeout=60) as client:

        def ask(turn: int, record: bool) -> str | None:
            body = {"text": text(turn, f"record {record}"), "record": record}
            answer = client.post("/api/v1/analyses", json=body)
            answer.raise_for_status()
            run_id: str | None = answer.json()["run_id"]
            return run_id

        yield paired(
            "text → HTTP answer, not recorded",
            lambda turn: ask(turn, record=False),
            "sentence → trace",
            lambda turn: capture(loaded, text(turn, "alone"), limit),
            RUNS,
        )

        answers, records, alone = [], [], []
        for turn in range(RUNS):
            start = time.perf_counter()
            run_id = ask(turn, record=True)
            answers.append(time.perf_counter() - start)
            _wait_until_recorded(client, run_id)
            records.append(time.perf_counter() - start)
            # Measured while nothing is written in the background.
            alone.append(seconds_of(lambda: capture(loaded, text(turn, "again"), limit)))  # noqa: B023
        yield result("text → HTTP answer, recorded", answers, "sentence → trace", alone)
        yield result("text → kept in MLflow", records, "sentence → trace", alone)


def _wait_until_recorded(client: httpx.Client, run_id: str | None) -> None:
    end = time.monotonic() + _RECORD_SECONDS
    while time.monotonic() < end:
        if client.get(f"/api/v1/analyses/{run_id}").json()["status"] == "recorded":
            return
        time.sleep(0.005)
    raise RuntimeError(f"run {run_id} was not recorded within {_RECORD_SECONDS:.0f} s")
