"""Answers rows with the models of the registry: what page and API call."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.automl.mojo import Scores
from app.queueing import Queue
from app.recording.registered import CHAMPION, Registered, Version
from app.recording.registry import Registry
from app.routing.errors import BusyError
from app.serving.champions import Champions, Served
from app.serving.notes import Note, Outcome, Tally
from app.serving.predictor import Predictor
from app.serving.store import WatchStore
from app.serving.watch import Watch, readable
from app.serving.watching import Drifted, drifts, quality, truths
from app.settings import Settings
from app.tables.errors import SchemaError
from app.tables.secret import secret_key

MOST_ROWS = 50_000
# Of rows × columns that are taken, and of rows × classes that are answered.
MOST_CELLS = 5_000_000
_WATCH = "watch.db"
_ID_BYTES = 8


class TooManyRowsError(ValueError):
    """More rows than are answered at once; the message is one line."""


class ChangeRefusedError(Exception):
    """Nobody may change here which versions answer; the message is one line."""


@dataclass(frozen=True)
class Answers:
    """The answers to some rows; `predictions` are classes or numbers, `ids` name the rows later."""

    served: Served
    scores: Scores
    predictions: list[Any]
    ids: list[str]

    @property
    def version(self) -> Version:
        """The version that answered."""
        return self.served.version

    def probabilities(self) -> list[dict[str, float]]:
        """Of each row the probability of each class; none for a regression."""
        classes = self.served.predictor.columns.classes
        if not classes:
            return []
        listed = self.scores.probabilities.tolist()
        return [dict(zip(classes, row, strict=True)) for row in listed]


@dataclass(frozen=True)
class Quality:
    """How good a version was: on `labelled` of the `kept` rows whose truth is known by now."""

    version: Version
    kept: int
    labelled: int
    metrics: Mapping[str, float]


class Serving:
    """The models of a registry as they answer, and how they do. Safe to use from any thread."""

    def __init__(self, settings: Settings, queue: int = 64) -> None:
        """`queue` is how many requests may be answered at once."""
        self.registry = Registry(settings)
        self._settings = settings
        self._champions = Champions(self.registry, self._load)
        self._watch = Watch(WatchStore(settings.data_dir / _WATCH))
        self._queue = Queue(queue)

    def served(self, name: str, chosen: str | int = CHAMPION) -> Served:
        """What answers for a model. Raises as `Champions.get` does."""
        return self._champions.get(name, chosen)

    def predict(
        self, name: str, rows: Sequence[Any], chosen: str | int = CHAMPION, commas: bool = False
    ) -> Answers:
        """Answers rows, which are as `Schema.check` takes them, and notes that.

        Raises SchemaError, TooManyRowsError, BusyError, or as `served` does.
        """
        try:
            with self._queue.place(patient=False):
                return self._predict(self.served(name, chosen), rows, commas)
        except BusyError:
            raise BusyError("too many predictions are made here just now; try again") from None

    def check_changeable(self) -> None:
        """Raises ChangeRefusedError where trainings are switched off, as for the public."""
        if not self._settings.training:
            raise ChangeRefusedError("training is switched off here, and so are changes of models")

    def promote(self, name: str, version: int) -> Registered:
        """See `Registry`; the next answer is the new champion's. So with the two others."""
        found = self.registry.promote(name, version)
        self._champions.refresh(name)
        return found

    def roll_back(self, name: str) -> Registered:
        """See `Registry`."""
        found = self.registry.roll_back(name)
        self._champions.refresh(name)
        return found

    def retire(self, name: str, version: int) -> Registered:
        """See `Registry`."""
        found = self.registry.retire(name, version)
        self._champions.refresh(name)
        return found

    def traffic(
        self, name: str, chosen: str | int = CHAMPION, days: int = 30
    ) -> tuple[Version, dict[str, Tally]]:
        """What a version was asked in the last days, by day. Raises ModelNotFoundError or
        RecordingError."""
        version = self.registry.version(name, chosen)
        with _reading():
            return version, self._watch.reading().days(version.run_id, _first_of(days))

    def drift(
        self, name: str, chosen: str | int = CHAMPION, days: int = 7
    ) -> tuple[Served, list[Drifted]]:
        """How far a version's features and predictions of the last days are from its training.

        Raises as `served` does.
        """
        served = self.served(name, chosen)
        with _reading():
            found = self._watch.reading().days(served.version.run_id, _first_of(days))
        return served, drifts(served.predictor, sum(found.values(), Tally()).values)

    def label(self, name: str, told: Mapping[str, Any]) -> int:
        """Notes the truth of rows by their ids; gives how many are known.

        Raises ModelNotFoundError, RecordingError, or TableError for what can't be true.
        """
        versions = self.registry.model(name).versions
        found = truths(versions[0].task if versions else "", told)
        with _reading():
            return self._watch.reading().label(name, found)

    def quality(self, name: str, chosen: str | int = CHAMPION) -> Quality:
        """How good a version was on rows whose truth is known by now. Raises as `served` does."""
        served = self.served(name, chosen)
        run = served.version.run_id
        with _reading():
            store = self._watch.reading()
            labelled, kept = store.labelled(run), store.kept(run)
        found = quality(served.predictor, labelled)
        return Quality(served.version, kept, len(labelled.truth), found)

    def close(self) -> None:
        """Writes down what was noted."""
        self._watch.close()

    def _predict(self, served: Served, rows: Sequence[Any], commas: bool) -> Answers:
        start = time.perf_counter()
        predictor = served.predictor
        most = most_rows(predictor)
        if len(rows) > most:
            raise TooManyRowsError(f"{len(rows):,} rows; at most {most:,} are answered at once")
        try:
            checked = predictor.checked(rows, commas)
            scores = predictor.scores(checked)
        except Exception as error:
            refused: Outcome = "refused" if isinstance(error, SchemaError) else "failed"
            self._watch.note(Note(served, refused, time.perf_counter() - start))
            raise
        call = secrets.token_hex(_ID_BYTES)
        seconds = time.perf_counter() - start
        self._watch.note(Note(served, "answered", seconds, call, checked, scores))
        ids = [f"{call}-{row}" for row in range(len(checked))]
        return Answers(served, scores, predictor.named(scores), ids)

    def _load(self, version: Version) -> Predictor:
        with self.registry.folder(version) as folder:
            return Predictor(folder, lambda: secret_key(self._settings.data_dir))


def most_rows(predictor: Predictor) -> int:
    """How many rows a model answers at once."""
    columns = predictor.columns
    return min(MOST_ROWS, MOST_CELLS // max(len(columns.features), len(columns.classes), 1))


def _first_of(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days - 1)).isoformat()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise readable(error) from error
