"""A training from a table to its models and their run: what command line and jobs call."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app import __version__
from app.automl.columns import Columns, Rows
from app.automl.files import leaderboard_file
from app.automl.java import AutomlMissingError, missing
from app.automl.library import Trainings
from app.automl.mojo import ModelFileError
from app.automl.order import Order, OrderError, Progress, Result, Wanted
from app.automl.server import ServerError
from app.automl.training import Means, TrainingError, train
from app.figures.trainings.recorded import training_figures
from app.recording.model_runs import ModelRecorder, Recorded
from app.settings import Settings
from app.sources import digest_of, group_of, read_source
from app.tables.cells import levels, ordered
from app.tables.columns import describe
from app.tables.drift import Bins
from app.tables.errors import TableError
from app.tables.fitting import fit, trainable
from app.tables.recipe import Recipe
from app.tables.safe_csv import safe_csv
from app.tables.schema import Schema
from app.tables.secret import secret_key
from app.tables.splitting import held_out, held_out_groups
from app.tables.targets import guess_task, target_of

Tell = Callable[[Progress], None]

# What ends a training and is told in its one line.
FAILURES = (
    TableError,
    OrderError,
    AutomlMissingError,
    ServerError,
    TrainingError,
    ModelFileError,
)


@dataclass(frozen=True)
class Prepared:
    """A table as it goes into a training.

    `about`, plain values: its digest, how many rows, those skipped, notes on the target, `fitted`
    to prepare other rows in the same way, `histograms` to compare them with.
    """

    columns: Columns
    rows: Rows
    about: Mapping[str, Any]


class Trainers:
    """Carries out the trainings of a library in this process and thread."""

    def __init__(self, settings: Settings) -> None:
        self.library = Trainings(settings.data_dir)
        self._settings = settings
        self._recorder = ModelRecorder(settings, training_figures)

    def carry_out(
        self,
        id_: str,
        tell: Tell = lambda _progress: None,
        wanted: Callable[[], Wanted] = lambda: "run",
    ) -> Result:
        """Trains as was asked for; whoever looks at the library sees how far it is.

        What the library wants counts as much as `wanted`. Raises one of FAILURES,
        TrainingNotFoundError, BusyTrainingError, CancelledError or OSError.
        """
        library, settings = self.library, self._settings
        library.sweep()
        with library.alone(id_) as folder:
            found = library.find(id_)
            if found.result:
                return found.result

            def tell_both(progress: Progress) -> None:
                tell(progress)
                library.tell(id_, progress)

            def wanted_by_any() -> Wanted:
                asked = library.wanted(id_)
                return wanted() if asked == "run" else asked

            tell_both(Progress("preparing"))
            prepared = prepare(found.order, settings.data_dir)
            library.described(id_, prepared.about)
            columns = prepared.columns
            result = train(
                found.order.plan(columns.task),
                columns,
                prepared.rows,
                folder,
                Means(settings.automl_mb, settings.threads),
                tell_both,
                wanted_by_any,
            )
            own = {"moescope": __version__, "python": platform.python_version()}
            result = replace(result, versions={**own, **result.versions})
            leaderboard_file(folder).write_text(safe_csv(leaderboard(result)), encoding="utf-8")
            library.finished(id_, result)
            return result

    def record(self, id_: str) -> Recorded:
        """Makes a run of a finished training and a version of its best model, or finds what there
        is. Raises TrainingNotFoundError, BusyTrainingError or RecordingError."""
        with self.library.alone(id_) as folder:
            found = self.library.find(id_)
            recorded = self._recorder.record(found, folder)
            self.library.recorded(found.id, recorded.run_id)
            return recorded


def refusal(settings: Settings) -> str | None:
    """Why nothing can be trained here, in a line for people; None where it can."""
    if not settings.training:
        return "training is switched off here (MOESCOPE_TRAINING)"
    return missing()


def prepare(order: Order, data: Path) -> Prepared:
    """Reads the table of an order, and prepares and splits it; what is known of the held-out
    rows goes into nothing. `data` is the folder with the key. Raises TableError."""
    table = read_source(order.source, data)
    frame = table.frame
    recipe = _recipe(order, frame)
    recipe.check(frame.columns)
    frame = frame[trainable(frame, recipe)]
    target = target_of(frame[recipe.target], recipe.task)
    if target.problems:
        raise TableError(target.problems[0])
    out = _held_out(frame, recipe, order)
    key = secret_key(data) if recipe.hashed else None
    fitted = fit(frame[~out], recipe, key)
    answers = fitted.answers(frame)
    whole = fitted.apply(frame, key).assign(**{recipe.target: answers})
    training, holdout = whole[~out], whole[out]
    task = Schema.of_fitted(fitted).task
    columns = Columns.of_frame(training, recipe.target, task, recipe.features, ordered)
    if task != "regression" and len(columns.classes) < 2:
        raise TableError(f"without the rows held out «{recipe.target}» has one value only")
    groups = _groups(frame, recipe)
    rows = Rows(training, holdout)
    if groups is not None:
        rows = replace(rows, training_groups=groups[~out], holdout_groups=groups[out])
    about = {
        "digest": digest_of(order.source, data),
        "rows": len(table.frame),
        "skipped": table.skipped.plain(),
        "training": len(training),
        "holdout": len(holdout),
        "notes": list(target.notes),
        "fitted": fitted.plain(),
        "histograms": _histograms(fitted.inputs(frame[~out], key)),
    }
    return Prepared(columns, rows, about)


def leaderboard(result: Result) -> pd.DataFrame:
    """A row per model, the best first: `validation_` metrics are cross-validated on the
    training's rows and rank it, `holdout_` ones are of rows that took no part."""
    kept = [
        {
            "model": one.name,
            "family": one.family,
            **{f"validation_{name}": value for name, value in one.validation.items()},
            **{f"holdout_{name}": value for name, value in one.holdout.items()},
            "seconds": one.seconds,
        }
        for one in result.models
    ]
    others = [
        {
            "model": one.name,
            "family": one.family,
            **{f"validation_{name}": value for name, value in one.validation.items()},
        }
        for one in result.others
    ]
    found = pd.DataFrame([*kept, *others])
    found.insert(0, "rank", np.arange(1, len(found) + 1))
    return found


def _recipe(order: Order, frame: pd.DataFrame) -> Recipe:
    if order.recipe is not None:
        return Recipe.of(order.recipe)
    if order.target not in frame:
        raise TableError(f"there is no column «{order.target}»")
    task = guess_task(frame[order.target])
    return Recipe.guess(describe(frame), order.target, task, group_of(order.source))


def _held_out(frame: pd.DataFrame, recipe: Recipe, order: Order) -> NDArray[np.bool_]:
    if recipe.group is not None:
        return held_out_groups(frame[recipe.group], order.seed, order.holdout)
    classes = levels(frame[recipe.target]) if recipe.task == "classification" else None
    return held_out(len(frame), order.seed, order.holdout, classes)


def _groups(frame: pd.DataFrame, recipe: Recipe) -> NDArray[np.int64] | None:
    """The number of each row's group; a row without one is alone."""
    if recipe.group is None:
        return None
    codes, unique = pd.factorize(levels(frame[recipe.group]))
    alone = codes < 0
    numbers: NDArray[np.int64] = codes.astype(np.int64)
    numbers[alone] = len(unique) + np.arange(int(alone.sum()))
    return numbers


def _histograms(inputs: pd.DataFrame) -> dict[str, Any]:
    """What later rows are compared with: for each feature its bins and the training's counts."""
    found = {}
    for name in inputs.columns:
        bins = Bins.of_training(inputs[name])
        found[name] = {"bins": bins.plain(), "counts": bins.count(inputs[name]).tolist()}
    return found
