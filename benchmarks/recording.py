"""What recording costs the one who asks: the way onto the local disk, against making the
trace; and how long the history takes with ten thousand runs, against a few."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.analysis import analysis_key, figures_of
from app.recording.base import Entry, Query, Receipt
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.capture import capture
from app.settings import load_settings
from benchmarks.measure import Result, paired, result, seconds_of
from benchmarks.setting import default_model, max_tokens, text_of
from tests.many_runs import multiply

LENGTH = 40
RUNS = 60
RUNS_OF_HISTORY = 10_000
_WRITTEN_SECONDS = 60.0


def run() -> Iterator[Result]:
    """Accepting while the writer rests and while it writes; pages of the history."""
    loaded, limit = default_model(), max_tokens()
    text = text_of(LENGTH)
    trace = capture(loaded, text, limit)

    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as folder, _store(folder) as store:

        def accept(number: int) -> Receipt:
            other = replace(trace, text=f"{text} {number}")
            return store.submit(Entry(other, analysis_key(other)))

        for kind, rests in (("at rest", True), ("at work", False)):
            accepted, traced = [], []
            for turn in range(RUNS):
                accepted.append(seconds_of(partial(accept, turn + RUNS * rests)))
                if rests:
                    _until_written(store)
                traced.append(seconds_of(lambda: capture(loaded, text, limit)))
            _until_written(store)
            name = f"trace → accepted on the local disk, {LENGTH} tokens, the writer {kind}"
            yield result(name, accepted, "sentence → trace", traced)
        yield from _history(Path(folder), store)


def _history(folder: Path, few: MlflowRecorder) -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as other:
        shutil.copy(folder / "mlflow.db", other)
        multiply(Path(other) / "mlflow.db", RUNS_OF_HISTORY)
        with _store(other) as many:
            for name, query in (
                ("newest first", Query()),
                ("sorted by load CV", Query(sort="load_cv_mean")),
                ("searched in the text", Query(text="copy 99")),
            ):
                yield paired(
                    f"50 of {RUNS_OF_HISTORY:,} runs, {name}",
                    lambda _turn, query=query: many.history(50, None, query),  # type: ignore[misc]
                    f"50 of {2 * RUNS} runs, newest first",
                    lambda _turn: few.history(50),
                    20,
                )


@contextmanager
def _store(folder: str) -> Iterator[MlflowRecorder]:
    settings = load_settings(MOESCOPE_DATA_DIR=folder, MLFLOW_TRACKING_URI="", MINIO_ENDPOINT="")
    recorder = MlflowRecorder(settings, figures_of)
    recorder.start()
    recorder.history(1)
    yield recorder
    recorder.close()


def _until_written(store: MlflowRecorder) -> None:
    end = time.monotonic() + _WRITTEN_SECONDS
    while store.state().pending and time.monotonic() < end:
        time.sleep(0.01)
