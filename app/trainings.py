"""A training from a table to its models and their run: what command line and jobs call."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from app import __version__
from app.automl.files import leaderboard_file
from app.automl.java import AutomlMissingError, missing
from app.automl.library import Trainings
from app.automl.mojo import ModelFileError
from app.automl.order import OrderError, Progress, Result, Wanted
from app.automl.server import ServerError
from app.automl.training import Means, TrainingError, train
from app.figures.trainings.recorded import training_figures
from app.preparing import prepare
from app.recording.base import RecordingError
from app.recording.model_runs import ModelRecorder, Recorded
from app.settings import Settings
from app.tables.errors import TableError
from app.tables.safe_csv import safe_csv

log = logging.getLogger(__name__)

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

    def note_end(self, id_: str) -> None:
        """Has a run say why a training ended without a result, where none does yet. Raises
        TrainingNotFoundError, RecordingError or OSError."""
        if self.library.ended_early(id_):
            found = self.library.find(id_)
            self._recorder.note_end(found, found.detail or "it was called off")
            self.library.noted(id_)

    def remove(self, id_: str) -> None:
        """Removes a training with its models here; a run that was begun for it says so. Raises
        TrainingNotFoundError."""
        found = self.library.find(id_)
        if found.status == "finished":
            try:
                self._recorder.note_end(found, "it was removed before it was recorded")
            except RecordingError as error:
                log.warning("the run of training %s stays as it is: %s", id_, error)
        self.library.remove(id_)


def refusal(settings: Settings) -> str | None:
    """Why nothing can be trained here, in a line for people; None where it can."""
    if not settings.training:
        return "training is switched off here (MOESCOPE_TRAINING)"
    return missing()


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
