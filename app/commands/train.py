"""`train`: models on a table, their leaderboard, the best one kept."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.common import DONE, FAILED, InputError, fail, open_log, say, unexpected
from app.settings import Settings

if TYPE_CHECKING:
    from app.automl.order import Order, Progress, Wanted
    from app.trainings import Trainers

log = logging.getLogger(__name__)

# The live page comes first.
_NICE = 10
_MOST_MINUTES = 7 * 24 * 60
_MOST_MODELS = 1000


def add(commands: Any) -> None:
    """Declares the command."""
    one = commands.add_parser(
        "train",
        help="train models on a table",
        description="Train models that predict a column of a table from the others, and keep the "
        "best. The table is CSV or Parquet, gzipped or not. Ctrl-C once ends with the models that "
        "there are, twice without any.",
    )
    one.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the table")
    one.add_argument("--target", metavar="COLUMN", help="the column to predict")
    budget = one.add_mutually_exclusive_group()
    budget.add_argument("--minutes", metavar="N", type=float, help="train so long; 5 otherwise")
    budget.add_argument(
        "--models",
        metavar="N",
        type=int,
        help="train so many models, and ensembles of them; the same seed gives the same ones",
    )
    one.add_argument(
        "--metric",
        metavar="M",
        default="",
        help="rank by log_loss, auc or mean_per_class_error, for numbers rmse or mae; by the "
        "first that goes with the target otherwise",
    )
    one.add_argument("--seed", metavar="S", type=int, default=1, help="1 otherwise")
    one.add_argument("--name", metavar="NAME", help="of the training; the file's otherwise")
    one.add_argument(
        "--no-record",
        dest="record",
        action="store_false",
        help="make no MLflow run and no version of a model",
    )
    # How the server has a training done, by its id.
    one.add_argument("--job", metavar="ID", help=argparse.SUPPRESS)
    one.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """One training. What goes wrong inside is told in the log."""
    if not options.job:
        _check(options)
    log_file = open_log(settings)
    try:
        return _job(options.job, settings) if options.job else _run(options, settings)
    except InputError:
        raise
    except Exception:
        return unexpected("the training failed", log_file)


def _check(options: argparse.Namespace) -> None:
    if options.file is None or options.target is None:
        raise InputError("which file, and which --target to predict?")
    if options.minutes is not None and not 0 < options.minutes <= _MOST_MINUTES:
        raise InputError(f"--minutes takes more than 0, at most {_MOST_MINUTES}")
    if options.models is not None and not 1 <= options.models <= _MOST_MODELS:
        raise InputError(f"--models takes 1 to {_MOST_MODELS}")
    if not 0 <= options.seed < 2**31:
        raise InputError("--seed takes a whole number from 0 to 2147483647")


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from app.automl.java import missing
    from app.automl.library import BusyTrainingError
    from app.automl.order import OrderError
    from app.automl.training import CancelledError
    from app.commands.train_summary import summary
    from app.recording.base import RecordingError
    from app.tables.errors import TableError
    from app.trainings import FAILURES, Trainers

    if why := missing():
        raise InputError(why)
    trainers = Trainers(settings)
    id_ = trainers.library.submit(_order(options))
    told, interrupts = _Told(), _Interrupts()
    try:
        result = trainers.carry_out(id_, told.show, interrupts.wanted)
    except CancelledError:
        trainers.library.remove(id_)
        return fail("called off, nothing is kept", FAILED)
    except (TableError, OrderError) as error:
        trainers.library.remove(id_)
        raise InputError(str(error)) from None
    except FAILURES as error:
        trainers.library.failed(id_, str(error))
        if options.record:
            _note_end(trainers, id_)
        return fail(str(error), FAILED)
    print(summary(result))
    print(f"training {id_}")
    print(trainers.library.folder(id_))
    if not options.record:
        return DONE
    try:
        recorded = trainers.record(id_)
    except (RecordingError, BusyTrainingError) as error:
        return fail(f"trained, but not recorded: {error}; a server here tries again", FAILED)
    print(f"run {recorded.run_id}")
    if version := recorded.version:
        print(f"model {version.name}, version {version.version}, {version.role}")
    return DONE


def _job(id_: str, settings: Settings) -> int:
    """A training of the library, for a server that watches its folder; ends with that server."""
    from app.automl.library import BusyTrainingError, TrainingNotFoundError
    from app.automl.training import CancelledError
    from app.recording.base import RecordingError
    from app.trainings import FAILURES, Trainers

    trainers = Trainers(settings)
    parent = os.getppid()
    os.nice(_NICE)
    # So that what is under way is tidied up, H2O most of all.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(FAILED))

    def wanted() -> Wanted:
        return "run" if os.getppid() == parent else "cancel"

    if trainers.library.ended_early(id_):
        _note_end(trainers, id_)
        return DONE
    try:
        trainers.carry_out(id_, wanted=wanted)
        trainers.record(id_)
    except (TrainingNotFoundError, BusyTrainingError):
        return DONE  # removed meanwhile, or another server is at it
    except CancelledError:
        _note_end(trainers, id_)
    except (*FAILURES, RecordingError) as error:
        trainers.library.failed(id_, str(error))
        _note_end(trainers, id_)
        return FAILED
    except OSError:
        if trainers.library.folder(id_).exists():
            raise
    return DONE


def _note_end(trainers: Trainers, id_: str) -> None:
    """Has the training's run say why it ended; a server tries again where that fails."""
    from app.automl.library import TrainingNotFoundError
    from app.recording.base import RecordingError

    try:
        trainers.note_end(id_)
    except TrainingNotFoundError:
        pass  # removed meanwhile
    except RecordingError as error:
        log.warning("the run of training %s does not say how it ended: %s", id_, error)


def _order(options: argparse.Namespace) -> Order:
    from app.automl.order import Order

    file = options.file.resolve()
    return Order(
        source={"file": str(file), "name": file.name},
        target=options.target,
        name=options.name or file.name.partition(".")[0],
        metric=options.metric,
        seconds=round(60 * options.minutes) or 1 if options.minutes else 0,
        models=options.models or 0,
        seed=options.seed,
    )


class _Told:
    """A line on standard error for each new stage, model and failure."""

    def __init__(self) -> None:
        self._stage = ""
        self._known = set[str]()

    def show(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            say(f"{progress.stage} …")
        for failure in progress.failures:
            self._once(failure.model, f"{failure.model} failed: {failure.reason}")
        for leader in progress.leaders:
            metrics = ", ".join(f"{name} {value:.4g}" for name, value in leader.validation.items())
            self._once(leader.name, f"{leader.name}: {metrics}")

    def _once(self, model: str, line: str) -> None:
        if model not in self._known:
            self._known.add(model)
            say(line)


class _Interrupts:
    """Ctrl-C asks for an early end, and again for one without models."""

    def __init__(self) -> None:
        self._count = 0
        signal.signal(signal.SIGINT, self._interrupt)

    def wanted(self) -> Wanted:
        return ("run", "stop", "cancel")[min(self._count, 2)]

    def _interrupt(self, _number: int, _frame: object) -> None:
        self._count += 1
        say("ending with the models that there are; again for none" if self._count == 1 else "…")
