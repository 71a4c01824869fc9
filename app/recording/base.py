"""The one small interface behind which analyses are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from app.routing.trace import RoutingTrace

RunStatus = Literal["recorded", "pending", "failed"]


class RunNotFoundError(LookupError):
    """No recorded analysis has that id."""


class RecordingError(Exception):
    """The store could not keep or give back an analysis; the message is one short line."""


class InvalidCursorError(ValueError):
    """The cursor is none that `history` gave out."""


@dataclass(frozen=True)
class Receipt:
    """Where an analysis stands: `id` opens it always, `run_id` is MLflow's once recorded."""

    id: str
    run_id: str | None
    status: RunStatus
    detail: str = ""


@dataclass(frozen=True)
class RunSummary:
    """One line of the history. `created` is in UTC."""

    run_id: str
    created: datetime
    model: str
    text: str
    tokens: int
    status: RunStatus


@dataclass(frozen=True)
class RecordedRun:
    """A recorded analysis as it was kept."""

    summary: RunSummary
    trace: RoutingTrace


@dataclass(frozen=True)
class Artifact:
    """One file of a run: its path inside the run's artifacts, and its content."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Entry:
    """What an analysis leaves behind: the trace, and the figures beside it.

    `figures` gives Plotly figures as plain dicts by name when they are written, `key` is
    equal for analyses that must come out the same. Measures follow from the trace.
    """

    trace: RoutingTrace
    key: str
    figures: Callable[[], Mapping[str, Mapping[str, Any]]]


class Recorder(Protocol):
    """Keeps analyses. `submit` returns at once; the writing happens in the background."""

    def start(self) -> None:
        """Opens the store in the background, so that the first analysis need not wait."""
        ...

    def submit(self, entry: Entry, force: bool = False) -> Receipt:
        """Accepts an entry, or without `force` gives the one of the same key in hand."""
        ...

    def receipt(self, id_: str, wait: float = 0.0) -> Receipt:
        """Where it stands, waiting up to `wait` seconds for it. Raises RunNotFoundError."""
        ...

    def find(self, key: str) -> Receipt | None:
        """The recorded or pending analysis of the same key, while it exists.

        None also when the store can't be asked: then recording it again says why.
        """
        ...

    def load(self, id_: str) -> RecordedRun:
        """Raises RunNotFoundError, or RecordingError if the store does not give it back."""
        ...

    def history(
        self, limit: int, cursor: str | None, model: str | None, query: str | None
    ) -> tuple[list[RunSummary], str | None]:
        """The recorded ones, newest first, and the cursor of the next page if there is one.

        A page may hold fewer than `limit` while more follow. Raises InvalidCursorError or
        RecordingError.
        """
        ...

    def close(self) -> None:
        """Finishes what is pending, then stops."""
        ...
