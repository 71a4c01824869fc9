"""Rows → HTTP predictions by a registered model, against the model's file alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
from sklearn.datasets import load_breast_cancer  # type: ignore[import-untyped]

from app.automl.java import missing
from app.automl.mojo import Scorer
from app.automl.order import Order
from app.settings import Settings, load_settings
from app.trainings import Trainers
from benchmarks.measure import Goal, Result, Unmeasured, paired
from benchmarks.serving import served

MODELS = 5
# Rows in a call, how often it is asked, and what it may take in milliseconds.
_CALLS = ((1, 200, 10.0), (10_000, 5, 2_000.0))
_NAME = "tumours"


def run() -> Iterator[Result | Unmeasured]:
    """Trains some models, then asks the best of them for one row and for many."""
    if why := missing():
        yield Unmeasured("rows → HTTP predictions", why)
        return
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as folder:
        settings = load_settings(MOESCOPE_DATA_DIR=folder, MLFLOW_TRACKING_URI="")
        kind, scorer, rows = _trained(settings)
        alone = scorer.columns.numbers(rows)
        plain = rows.to_dict("records")
        with served(MOESCOPE_DATA_DIR=folder) as address, httpx.Client(timeout=60) as client:

            def ask(_turn: int, asked: list[dict[str, Any]]) -> None:
                answer = client.post(f"{address}/predict", json={"name": _NAME, "rows": asked})
                answer.raise_for_status()

            for count, runs, most in _CALLS:
                times = -(-count // len(plain))
                yield paired(
                    f"{count:,} {'row' if count == 1 else 'rows'} → HTTP predictions "
                    f"({kind}, {len(rows.columns)} columns)",
                    partial(ask, asked=(plain * times)[:count]),
                    "the model's file alone",
                    lambda _turn, n=count: _score(scorer, alone, n),  # type: ignore[misc]
                    runs,
                    goal=Goal("median_ms", most),
                )


def _score(scorer: Scorer, numbers: Any, count: int) -> None:
    for begin in range(0, count, len(numbers)):
        scorer.score_numbers(numbers[: count - begin])


def _trained(settings: Settings) -> tuple[str, Scorer, Any]:
    """The family of the best model, the model, and rows to ask."""
    bunch = load_breast_cancer(as_frame=True)
    file = settings.data_dir / "table.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    bunch.frame.assign(target=bunch.target_names[bunch.target]).to_csv(file, index=False)
    trainers = Trainers(settings)
    source = {"file": str(file), "name": file.name}
    id_ = trainers.library.submit(Order(source, "target", _NAME, models=MODELS))
    best = trainers.carry_out(id_).best
    trainers.record(id_)
    return best.family, trainers.library.scorer(id_, best.name), bunch.data
