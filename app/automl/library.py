"""The trainings that lie in the data folder: what each was asked, how far it is, what it made."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from app.automl.files import H2O, MODELS, holdout_file, model_file
from app.automl.mojo import Scorer
from app.automl.order import Order, Progress, Result, Wanted
from app.automl.server import sweep
from app.folders import is_locked, locked, read, read_text, write, write_text

Status = Literal[
    "waiting",
    "running",
    "stopping",
    "stopped",
    "failed",
    "broken off",
    "finished",
    "recorded",
]

_ABOUT, _BEGUN, _WANTED, _PROGRESS = "about.json", "begun", "wanted", "progress.json"
_TABLE, _RESULT, _FAILED, _RECORDED = "table.json", "result.json", "failed", "recorded.json"
_NOTED = "noted"
_BROKEN_OFF = "its process ended {how}before it had a result; begin it again"
_ID = re.compile(r"[0-9a-f]{32}")


class TrainingNotFoundError(LookupError):
    """No training has that id."""


class BusyTrainingError(Exception):
    """Another process works on a training; the message is one short line."""


@dataclass(frozen=True)
class Training:
    """A training as it lies there. `created` is in UTC.

    `table` is what is known of its rows and their preparation, as plain values, empty until it
    has read them. `detail` says in a line why it failed, was broken off, or is not recorded yet.
    `run_id` is MLflow's once it is recorded.
    """

    id: str
    order: Order
    created: datetime
    status: Status
    progress: Progress
    table: Mapping[str, Any]
    result: Result | None = None
    detail: str = ""
    run_id: str | None = None


class Trainings:
    """The trainings of a data folder. Safe to use from any thread and process."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "trainings"

    def folder(self, id_: str) -> Path:
        """Where a training lies. Raises TrainingNotFoundError for what is no id."""
        if not _ID.fullmatch(id_):
            raise TrainingNotFoundError("there is no such training")
        return self._folder / id_

    def all(self) -> list[Training]:
        """All of them, the newest first."""
        found = []
        for file in self._folder.glob(f"*/{_ABOUT}"):
            with suppress(TrainingNotFoundError):  # removed in between
                found.append(self.find(file.parent.name))
        return sorted(found, key=lambda one: one.created, reverse=True)

    def find(self, id_: str) -> Training:
        """One by its id, or by that of its run. Raises TrainingNotFoundError."""
        folder = self.folder(id_)
        about = read(folder / _ABOUT)
        if about is None:
            return self._of_run(id_)
        status = _status(folder)
        progress, result = read(folder / _PROGRESS), read(folder / _RESULT)
        recorded = read(folder / _RECORDED)
        return Training(
            id=id_,
            order=Order.of(about["order"]),
            created=datetime.fromtimestamp(about["created"], UTC),
            status=status,
            progress=Progress.of(progress) if progress else Progress(),
            table=read(folder / _TABLE) or {},
            result=Result.of(result) if result else None,
            detail=_detail(folder, status),
            run_id=recorded["run_id"] if recorded else None,
        )

    def holdout(self, id_: str) -> pd.DataFrame:
        """The best model's answers to the rows held out, see `judging`. Raises
        TrainingNotFoundError, or FileNotFoundError before there is a result."""
        return pd.read_parquet(holdout_file(self.folder(self.find(id_).id)))

    def scorer(self, id_: str, model: str) -> Scorer:
        """A kept model, to answer with. Raises TrainingNotFoundError (also for a model that was
        not kept), ModelFileError or AutomlMissingError."""
        found = self.find(id_)
        if found.result is None or model not in {one.name for one in found.result.models}:
            raise TrainingNotFoundError("there is no such model")
        return Scorer(model_file(self.folder(found.id), model), found.result.columns)

    def submit(self, order: Order) -> str:
        """Makes the folder of a training; gives its id. Raises OSError."""
        id_ = uuid.uuid4().hex
        folder = self.folder(id_)
        folder.mkdir(parents=True)
        created = datetime.now(UTC).timestamp()
        write(folder / _ABOUT, {"order": order.plain(), "created": created})
        return id_

    @contextmanager
    def alone(self, id_: str) -> Iterator[Path]:
        """While it lasts no other process works on a training, which begins anew in its folder.

        Raises TrainingNotFoundError, BusyTrainingError or OSError.
        """
        found = self.find(id_)
        folder = self.folder(found.id)
        with locked(folder, BusyTrainingError("another process works on this training")):
            if found.result is None:
                for name in (_FAILED, _PROGRESS, _TABLE):
                    (folder / name).unlink(missing_ok=True)
                shutil.rmtree(folder / MODELS, ignore_errors=True)
                write_text(folder / _BEGUN, "")
            yield folder

    def sweep(self) -> int:
        """Ends every H2O whose training's process was killed; gives how many still ran."""
        ended = 0
        for folder in self._folder.glob(f"*/{H2O}"):
            if not is_locked(folder.parent):
                ended += sweep(folder.resolve())
        return ended

    def want(self, id_: str, wanted: Wanted) -> None:
        """Asks for a training to begin (also again), to stop with what it has, or to be called
        off. Raises OSError."""
        folder = self.folder(id_)
        if wanted == "run":
            for name in (_FAILED, _BEGUN, _NOTED):
                (folder / name).unlink(missing_ok=True)
        write_text(folder / _WANTED, wanted)

    def wanted(self, id_: str) -> Wanted:
        """What was asked for last; "cancel" for a training that was removed."""
        folder = self.folder(id_)
        if not (folder / _ABOUT).exists():
            return "cancel"
        asked = read_text(folder / _WANTED)
        return asked if asked in ("stop", "cancel") else "run"  # type: ignore[return-value]

    def tell(self, id_: str, progress: Progress) -> None:
        """Notes how far a training is, for whoever looks. Raises OSError."""
        write(self.folder(id_) / _PROGRESS, progress.plain())

    def described(self, id_: str, table: Mapping[str, Any]) -> None:
        """Notes what is known of the rows. Raises OSError."""
        write(self.folder(id_) / _TABLE, table)

    def finished(self, id_: str, result: Result) -> None:
        """Notes what came of a training. Raises OSError."""
        write(self.folder(id_) / _RESULT, result.plain())

    def failed(self, id_: str, reason: str) -> None:
        """Notes in a line why a training ended, or is not recorded. Raises OSError."""
        write_text(self.folder(id_) / _FAILED, reason)

    def broken_off(self, id_: str, how: str) -> None:
        """Notes how the process of a training ended without a word, such as "by signal 9".
        Raises TrainingNotFoundError or OSError."""
        if self.find(id_).status == "broken off":
            write_text(self.folder(id_) / _BEGUN, _BROKEN_OFF.format(how=f"{how} "))

    def recorded(self, id_: str, run_id: str) -> None:
        """Notes the run that a training became. Raises OSError."""
        folder = self.folder(id_)
        write(folder / _RECORDED, {"run_id": run_id})
        (folder / _FAILED).unlink(missing_ok=True)

    def ended_early(self, id_: str) -> bool:
        """Whether a training was begun and ended without a result, which its run does not say
        yet."""
        folder = self.folder(id_)
        ended = (folder / _BEGUN).exists() and not (folder / _NOTED).exists()
        return ended and _status(folder) in ("stopped", "failed", "broken off")

    def noted(self, id_: str) -> None:
        """Notes that the run of a training says how it ended. Raises OSError."""
        write_text(self.folder(id_) / _NOTED, "")

    def remove(self, id_: str) -> None:
        """Removes a training with its models. A process that still works on it ends."""
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def _of_run(self, run_id: str) -> Training:
        for file in self._folder.glob(f"*/{_RECORDED}"):
            found = read(file)
            if found and found["run_id"] == run_id:
                return self.find(file.parent.name)
        raise TrainingNotFoundError("there is no such training")


def _detail(folder: Path, status: Status) -> str:
    if status == "broken off":
        return read_text(folder / _BEGUN) or _BROKEN_OFF.format(how="")
    return read_text(folder / _FAILED)


def _status(folder: Path) -> Status:
    if (folder / _RECORDED).exists():
        return "recorded"
    if (folder / _RESULT).exists():
        # It may be at work still: a process records it.
        return "finished"
    wanted = read_text(folder / _WANTED)
    if is_locked(folder):
        return "stopping" if wanted in ("stop", "cancel") else "running"
    if (folder / _FAILED).exists():
        return "failed"
    if wanted == "cancel":
        return "stopped"
    if (folder / _BEGUN).exists():
        return "broken off"
    return "waiting" if wanted == "run" else "stopped"
