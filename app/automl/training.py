"""Trains models on a table that is prepared, and judges them on rows that they have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.automl.client import Automl, H2OError
from app.automl.columns import FOLD, TARGET, Columns, Rows
from app.automl.files import H2O, MODELS, model_file
from app.automl.java import VERSION
from app.automl.judging import judge
from app.automl.leaderboard import failures_of, leaders_of, name_of, now_of
from app.automl.order import METRICS, Leader, Plan, Progress, Result, Wanted
from app.automl.server import Server, h2o_server

# Of more models than this only the leaderboard's line is kept.
KEPT_MODELS = 10
_LOOK_SECONDS = 0.5
_FRAME, _TABLE = "training", "training.csv"
_ENSEMBLE = "StackedEnsemble"

Tell = Callable[[Progress], None]
Ask = Callable[[], Wanted]


class TrainingError(Exception):
    """No model came of a training; the message is one line."""


class CancelledError(Exception):
    """A training was called off."""


@dataclass(frozen=True)
class Means:
    """What H2O may take: megabytes of memory for its data, and threads."""

    memory_mb: int
    threads: int


@dataclass(frozen=True)
class Made:
    """What H2O made: `kept` leaders have a file of their own, and `seconds` by their names."""

    last: Progress
    kept: tuple[Leader, ...]
    seconds: Mapping[str, float]
    stopped: bool
    version: str


def train(
    plan: Plan,
    columns: Columns,
    rows: Rows,
    folder: Path,
    means: Means,
    tell: Tell = lambda _progress: None,
    wanted: Ask = lambda: "run",
) -> Result:
    """Trains as planned; `folder` then has the best models and the answers to the hold-out.

    `wanted` is asked again and again: "stop" ends early with the models that there are, "cancel"
    without any. Raises AutomlMissingError, ServerError, TrainingError, CancelledError or OSError.
    """
    tell(Progress("starting"))
    with h2o_server(folder / H2O, means.memory_mb, means.threads) as server:
        made = make(server, plan, columns, rows, folder, tell, wanted)
    tell(replace(made.last, stage="evaluating", left=None, now=""))
    verdict = judge(columns, rows, made.kept, made.seconds, folder, plan.seed)
    return Result(
        columns=columns,
        metric=plan.metric,
        models=verdict.models,
        others=made.last.leaders[len(made.kept) :],
        failures=made.last.failures,
        baseline=verdict.baseline,
        importance=verdict.importance,
        rows={"training": len(rows.training), "holdout": len(rows.holdout)},
        seconds=made.last.seconds,
        stopped=made.stopped,
        versions={"h2o": made.version, "java": str(VERSION)},
    )


def make(
    server: Server,
    plan: Plan,
    columns: Columns,
    rows: Rows,
    folder: Path,
    tell: Tell = lambda _progress: None,
    wanted: Ask = lambda: "run",
) -> Made:
    """Has a server make models and keeps the best in `folder`. Raises as `train` does."""
    try:
        automl = _begun(server, plan, columns, rows)
        last, stopped = _watched(server, plan, automl, tell, wanted)
        kept = last.leaders[:KEPT_MODELS]
        (folder / MODELS).mkdir(exist_ok=True)
        for leader in kept:
            server.client.mojo(leader.key, model_file(folder, leader.name))
        took = server.client.seconds(automl)
        seconds = {name_of(key): value for key, value in took.items()}
        return Made(last, kept, seconds, stopped, server.client.version())
    except H2OError as error:
        server.check()  # says why it does not answer, if it has ended
        raise TrainingError(str(error)) from error


def _begun(server: Server, plan: Plan, columns: Columns, rows: Rows) -> Automl:
    """Hands in the table and has H2O begin."""
    folds, table = _folds(rows.training_groups, plan), server.folder / _TABLE
    server.client.upload(table, _FRAME, columns.write(rows.training, table, folds))
    table.unlink()
    return server.client.begin_automl(_asked(plan, columns, grouped=folds is not None))


def _watched(
    server: Server, plan: Plan, automl: Automl, tell: Tell, wanted: Ask
) -> tuple[Progress, bool]:
    """What AutoML came to, and whether it was stopped early."""
    client, begun, stopped = server.client, time.monotonic(), False
    while True:
        server.check()
        # In this order: what the last look finds is then all there is.
        job, found = client.job(automl), client.automl(automl)
        progress = _progress(plan, found, time.monotonic() - begun, job.now)
        if not job.running:
            break
        tell(progress)
        asked = wanted()
        if asked == "cancel":
            raise CancelledError("it was called off")
        if asked == "stop" and progress.leaders and not stopped:
            client.cancel(automl)
            stopped = True
        time.sleep(_LOOK_SECONDS)
    if not progress.leaders:
        reasons = (job.error, *(one.reason for one in progress.failures))
        why = next(filter(None, reasons), "the time was over before the first one was ready")
        raise TrainingError(f"no model could be trained: {why}")
    return progress, stopped


def _asked(plan: Plan, columns: Columns, grouped: bool) -> dict[str, Any]:
    """The training as H2O's interface wants it."""
    metric = METRICS[columns.task][plan.metric]
    limits = {"max_runtime_secs": plan.seconds, "max_models": plan.models, "seed": plan.seed}
    control: dict[str, Any] = {"stopping_criteria": limits}
    table = {"training_frame": _FRAME, "response_column": TARGET, "sort_metric": metric}
    if grouped:
        table["fold_column"] = FOLD
    else:
        control["nfolds"] = plan.folds
    return {
        "build_control": control,
        "input_spec": table,
        "build_models": {"include_algos": list(plan.families)},
    }


def _folds(groups: NDArray[np.int64] | None, plan: Plan) -> NDArray[np.int64] | None:
    """For each row the part that it is held out in, the same for all of a group."""
    if groups is None:
        return None
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max()) + 1
    shuffled = np.random.default_rng(plan.seed).permutation(count)
    return (shuffled % plan.folds)[place]


def _progress(plan: Plan, automl: Mapping[str, Any], seconds: float, now: str) -> Progress:
    leaders = leaders_of(automl)
    ready = sum(one.family != _ENSEMBLE for one in leaders)
    estimates = []
    if plan.seconds:
        estimates.append(plan.seconds - seconds)
    if plan.models and ready:
        estimates.append(seconds / ready * (plan.models - ready))
    return Progress(
        stage="training",
        seconds=seconds,
        left=max(0.0, min(estimates)) if estimates else None,
        now=now_of(now),
        leaders=leaders,
        failures=failures_of(automl),
    )
