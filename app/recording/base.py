"""The one small interface behind which analyses are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal, Protocol

from app.routing.trace import RoutingTrace

RunStatus = Literal["recorded", "pending", "failed"]
# An analysis of one text, or a pass over a corpus.
RunKind = Literal["analysis", "corpus"]

UNDO_SECONDS = 10.0
MOST_NAME = 250
MOST_TAG = 50
MOST_TAGS = 20


class RunNotFoundError(LookupError):
    """No recorded analysis has that id."""


class RecordingError(Exception):
    """The store could not keep or give back an analysis; the message is one short line."""


class StoreDownError(RecordingError):
    """The store as a whole can't be used now: no analysis is to blame, and all can wait."""


class InvalidQueryError(ValueError):
    """A cursor that `history` did not give out, an unknown sort, a name or tag not allowed."""


@dataclass(frozen=True)
class Receipt:
    """Where an analysis stands: `id` opens it always, `run_id` is MLflow's once recorded.

    `detail` says why it waits or failed; empty where all is well.
    """

    id: str
    run_id: str | None
    status: RunStatus
    detail: str = ""


@dataclass(frozen=True)
class RunSummary:
    """One line of the history. `created` is in UTC.

    `text` is the text's beginning, of a pass over a corpus the corpus' name, `name` what
    somebody called the run (else the same). `documents` are a corpus', None for an analysis.
    `tokens` counts all stacks, `size` the bytes of the run's files, None where not known.
    `load` is the first stack's load heatmap in small, see `content.load_code`; `value` the
    metric that the history was sorted by.
    """

    run_id: str
    created: datetime
    model: str
    text: str
    tokens: int
    status: RunStatus
    name: str = ""
    tags: tuple[str, ...] = ()
    stacks: tuple[str, ...] = ()
    size: int | None = None
    load: str = ""
    value: float | None = None
    detail: str = ""
    kind: RunKind = "analysis"
    documents: int | None = None


class CorpusRunError(RunNotFoundError):
    """The id is that of a recorded pass over a corpus, which is no analysis.

    `summary` is its line of the history, `mlflow_url` shows it in MLflow's own interface.
    """

    def __init__(self, summary: RunSummary, mlflow_url: str | None = None) -> None:
        self.summary = summary
        self.mlflow_url = mlflow_url
        id_ = summary.run_id
        super().__init__(
            f"the run {id_} is a pass over a corpus, not an analysis: its page is "
            f"/experts?run={id_}, its files are /api/v1/corpora/{id_}/atlas.csv, labels.csv, "
            "tokens.csv and report.html"
        )


@dataclass(frozen=True)
class Query:
    """Which runs of the history, and in which order. Empty values leave a condition out.

    `text` is searched in names and texts' beginnings, `tag` matches a whole tag; `since` and
    `until` are days in UTC, both inclusive. `sort` is one of `SORTS`.
    """

    text: str = ""
    model: str = ""
    stack: str = ""
    tag: str = ""
    since: date | None = None
    until: date | None = None
    sort: str = "created"
    descending: bool = True
    kind: RunKind | Literal[""] = ""


ALL = Query()

# What the history can be sorted by, and what it is called: names are MLflow's metrics.
SORTS = {
    "created": "Recorded",
    "tokens": "Tokens",
    "load_cv_mean": "Load CV",
    "load_entropy_mean": "Load entropy",
    "confidence_mean": "Confidence",
    "token_entropy_mean": "Router entropy",
    "dropped_total": "Dropped tokens",
}


@dataclass(frozen=True)
class Page:
    """A part of the history. `next` is the cursor of the following part, None after the last.

    `notice` is one line if the list may miss something, such as a store that is down.
    """

    runs: list[RunSummary]
    next: str | None = None
    notice: str = ""


@dataclass(frozen=True)
class RecordedRun:
    """A recorded analysis as it was kept. `mlflow_url` shows it in MLflow's own interface."""

    summary: RunSummary
    trace: RoutingTrace
    mlflow_url: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One file of a run: its path inside the run's artifacts, and its content."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Entry:
    """An analysis to keep: `key` is equal for those that must come out the same."""

    trace: RoutingTrace
    key: str


@dataclass(frozen=True)
class StoreState:
    """How recording goes on: how many wait and have failed, and why the store can't be used.

    `down` is empty while it can. `failed` is told with the last one's reason. `deletions`
    counts what is deleted for people but not carried out yet.
    """

    pending: int
    failed: int
    down: str = ""
    failure: str = ""
    deletions: int = 0


class Recorder(Protocol):
    """Keeps analyses. What `submit` accepted stands on the disk; a thread carries it on.

    An id is the analysis's, known at once, or MLflow's; both name the same run everywhere.
    """

    def start(self) -> None:
        """Opens the store in the background, so that the first analysis need not wait."""
        ...

    def submit(self, entry: Entry, force: bool = False) -> Receipt:
        """Keeps an entry on the local disk, or without `force` gives the one of its key.

        Never asks the store. Raises RecordingError if the disk does not take it.
        """
        ...

    def receipt(self, id_: str, wait: float = 0.0) -> Receipt:
        """Where it stands, waiting up to `wait` seconds while nothing hinders its writing.

        Raises RunNotFoundError, or RecordingError if only a store that is down could tell.
        """
        ...

    def load(self, id_: str) -> RecordedRun:
        """Raises RunNotFoundError, for a pass over a corpus CorpusRunError, or RecordingError if
        the store does not give it back."""
        ...

    def summary(self, id_: str) -> RunSummary:
        """Its line of the history, of whatever kind it is. Raises RunNotFoundError or
        RecordingError."""
        ...

    def file(self, id_: str, path: str) -> AbstractContextManager[Path]:
        """One of its files, such as `routing.csv`, as a local path that goes away again.

        A file that the run does not hold is made from its trace, where that is known to do.
        Raises RunNotFoundError or RecordingError.
        """
        ...

    def folder(self) -> AbstractContextManager[Path]:
        """A folder for a moment, for what is put together of several runs. Raises
        RecordingError if the disk does not take it."""
        ...

    def link(self, id_: str, path: str) -> str | None:
        """A presigned address of one of its files, if the store is set to give them."""
        ...

    def history(self, limit: int, cursor: str | None = None, query: Query = ALL) -> Page:
        """The runs that match, waiting analyses first, then recorded runs in order.

        A page may hold fewer than `limit` while more follow. Raises InvalidQueryError or
        RecordingError.
        """
        ...

    def rename(self, id_: str, name: str) -> None:
        """Gives a recorded run a name, or with an empty one its text's beginning again.

        Raises InvalidQueryError, RunNotFoundError or RecordingError.
        """
        ...

    def tag(self, id_: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Adds and removes tags of a recorded run. Raises as `rename` does."""
        ...

    def delete(self, ids: Sequence[str], undo_seconds: float = UNDO_SECONDS) -> None:
        """Deletes analyses with their files, after a time in which `restore` undoes it.

        They are gone from history and links at once. Ids of none are passed over. Raises
        RecordingError if the disk does not take it.
        """
        ...

    def restore(self, ids: Sequence[str]) -> list[str]:
        """Undoes deletions that are not carried out yet; gives the ids that came back."""
        ...

    def state(self) -> StoreState:
        """How recording goes on. Asks nothing but the local disk."""
        ...

    def retry(self) -> None:
        """Tries everything again that waits or has failed, at once."""
        ...

    def close(self) -> None:
        """Carries on what is pending while the store takes it, then stops; the rest stays
        on the disk for the next start."""
        ...
