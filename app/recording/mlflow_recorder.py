"""The recorder: an outbox in front of an MLflow store."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.recording import content
from app.recording.base import (
    Entry,
    Receipt,
    RecordedRun,
    RecordingError,
    RunSummary,
)
from app.recording.mlflow_store import MlflowStore
from app.recording.outbox import Item, Outbox
from app.routing.errors import TraceError
from app.routing.trace import RoutingTrace
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)


class MlflowRecorder:
    """Keeps analyses as MLflow runs; see `Recorder` for what each method promises.

    An id is the analysis's, known at once, or MLflow's; both open the same run.
    """

    def __init__(self, settings: Settings) -> None:
        self._store = MlflowStore(settings)
        self._outbox = Outbox(self._store.write, self._open)

    def start(self) -> None:
        self._outbox.start()

    def submit(self, entry: Entry, force: bool = False) -> Receipt:
        return self._outbox.put(entry, force)

    def receipt(self, id_: str, wait: float = 0.0) -> Receipt:
        if item := self._outbox.get(id_, wait):
            return item.receipt
        return _receipt(self._store.run(id_))

    def find(self, key: str) -> Receipt | None:
        known = self._outbox.of_key(key)
        if known and known.status == "pending":
            return known
        try:
            run = self._store.run_of_key(key)
        except RecordingError as error:
            log.warning("whether it is recorded already is not known: %s", error)
            return None
        if run is not None:
            return _receipt(run)
        if known:
            self._outbox.forget_key(key, known.id)
        return None

    def load(self, id_: str) -> RecordedRun:
        item = self._outbox.get(id_)
        if item and item.entry:
            return RecordedRun(_summary_of_item(item, item.entry), item.entry.trace)
        run = self._store.run(item.receipt.run_id or id_ if item else id_)
        data = self._store.file(run.info.run_id, content.TRACE_FILE)
        try:
            return RecordedRun(_summary(run), RoutingTrace.from_bytes(data))
        except TraceError as error:
            raise RecordingError(f"the run can't be read: {error}") from error

    def history(
        self, limit: int, cursor: str | None, model: str | None, query: str | None
    ) -> tuple[list[RunSummary], str | None]:
        # Runs are kept under one line of text, so this is what can be searched.
        query = content.text_beginning(query) if query and query.strip() else None
        runs, following = self._store.search(limit, cursor, model, query)
        summaries = [
            summary
            for summary in map(_summary, runs)
            if (not model or summary.model == model)
            and (not query or query.lower() in summary.text.lower())
        ]
        return summaries, following

    def close(self) -> None:
        self._outbox.close()

    def _open(self) -> None:
        self._store.open()


def _receipt(run: Run) -> Receipt:
    return Receipt(run.data.tags[content.TAG_ANALYSIS], run.info.run_id, "recorded")


def _summary(run: Run) -> RunSummary:
    tags = run.data.tags
    return RunSummary(
        run_id=run.info.run_id,
        created=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        model=tags.get(content.TAG_MODEL, ""),
        text=tags.get(content.TAG_TEXT, ""),
        tokens=int(tokens) if (tokens := tags.get(content.TAG_TOKENS, "")).isdecimal() else 0,
        status="recorded",
    )


def _summary_of_item(item: Item, entry: Entry) -> RunSummary:
    return RunSummary(
        run_id=item.receipt.run_id or item.receipt.id,
        created=item.created,
        model=entry.trace.model.id,
        text=content.text_beginning(entry.trace.text),
        tokens=content.token_count(entry.trace),
        status=item.receipt.status,
    )
