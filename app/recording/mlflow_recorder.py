"""The recorder: an outbox on the local disk in front of an MLflow store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.recording import content
from app.recording.base import (
    ALL,
    MOST_NAME,
    MOST_TAG,
    MOST_TAGS,
    UNDO_SECONDS,
    CorpusRunError,
    Entry,
    InvalidQueryError,
    Page,
    Query,
    Receipt,
    RecordedRun,
    RecordingError,
    RunNotFoundError,
    RunSummary,
    StoreDownError,
    StoreState,
)
from app.recording.files import Draw, GiveWay
from app.recording.lines import matches, of_item, of_run, shown
from app.recording.mlflow_store import MlflowStore
from app.recording.outbox import Deletion, Item, Outbox
from app.recording.writer import Writer
from app.routing.errors import TraceError
from app.routing.trace import RoutingTrace
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run

_LOCAL = "local:"
_ID = re.compile(r"[0-9a-f]{32}")
# So many waiting ones are listed above the recorded ones.
_MOST_WAITING = 200


class MlflowRecorder:
    """Keeps analyses as MLflow runs; see `Recorder` for what each method promises.

    `draw` gives a trace's Plotly figures as plain dicts by name, when they are written;
    `give_way` is called between pieces of the writing.
    """

    def __init__(self, settings: Settings, draw: Draw, give_way: GiveWay = lambda: None) -> None:
        self._draw = draw
        self._store = MlflowStore(settings, draw, give_way)
        self._outbox = Outbox(settings.data_dir / "outbox.db")
        self._writer = Writer(
            self._outbox, settings.data_dir / "outbox.lock", self._open, self._write, self._erase
        )

    def start(self) -> None:
        self._writer.start()

    def submit(self, entry: Entry, force: bool = False) -> Receipt:
        receipt = self._outbox.put(
            entry.key, entry.trace.to_bytes(), shown(entry.trace), forced=force
        )
        self._writer.wake()
        return receipt

    def receipt(self, id_: str, wait: float = 0.0) -> Receipt:
        if wait > 0:
            self._writer.wait(lambda: self._settled(id_), wait)
        item = self._known(id_)
        if item is None:
            run = self._store.run(id_)
            run_id = run.info.run_id
            return Receipt(run.data.tags.get(content.TAG_ANALYSIS, run_id), run_id, "recorded")
        receipt = item.receipt
        if receipt.status == "pending" and not receipt.detail:
            return replace(receipt, detail=self._writer.down())
        return receipt

    def load(self, id_: str) -> RecordedRun:
        item = self._known(id_)
        if item is not None and item.state != "recorded":
            return RecordedRun(of_item(item), self._kept(item))
        data = self._outbox.trace(item.id) if item else None
        try:
            run = self._stored(item, id_)
        except StoreDownError:
            if item is None or data is None:
                raise
            return RecordedRun(of_item(item), _trace(data))
        summary, page = of_run(run), self._store.page_of(run)
        if summary.kind == "corpus":
            raise CorpusRunError(summary, page)
        if data is None:
            data = self._trace_file(run)
        return RecordedRun(summary, _trace(data), page)

    def summary(self, id_: str) -> RunSummary:
        item = self._known(id_)
        if item is not None and item.state != "recorded":
            return of_item(item)
        return of_run(self._stored(item, id_))

    @contextmanager
    def file(self, id_: str, path: str) -> Iterator[Path]:
        item = self._known(id_)
        if (item is None or item.state == "recorded") and not _made_anew(path):
            run = self._stored(item, id_)
            with self._store.file(run, path) as found:
                if found is not None:
                    yield found
                    return
        made = content.make_file(self.load(id_).trace, path, self._draw)
        if made is None:
            raise RunNotFoundError("the run has no such file")
        with self.folder() as folder:
            place = folder / path.rpartition("/")[2]
            place.write_bytes(made)
            yield place

    def folder(self) -> AbstractContextManager[Path]:
        return self._store.folder()

    def link(self, id_: str, path: str) -> str | None:
        item = self._known(id_)
        if (item is not None and item.state != "recorded") or _made_anew(path):
            return None
        return self._store.link(self._stored(item, id_), path)

    def history(self, limit: int, cursor: str | None = None, query: Query = ALL) -> Page:
        # Runs are kept under one line of text, so this is what can be searched.
        text = content.text_beginning(query.text) if query.text.strip() else ""
        query = replace(query, text=text)
        if cursor and cursor.startswith(_LOCAL):
            return self._history_here(limit, cursor, query, "")
        waiting = [] if cursor else self._waiting(query)
        try:
            runs, following = self._store.search(limit, cursor, query)
        except StoreDownError as error:
            if cursor:
                raise
            return self._history_here(limit, None, query, str(error))
        hidden = self._outbox.hidden()
        found = [of_run(run, query.sort) for run in runs if run.info.run_id not in hidden]
        return Page([*waiting, *(each for each in found if matches(each, query))], following)

    def rename(self, id_: str, name: str) -> None:
        name = " ".join(name.split())
        if len(name) > MOST_NAME:
            raise InvalidQueryError(f"a name has at most {MOST_NAME} characters")
        if not name.isprintable():
            raise InvalidQueryError("a name can't hold control characters")
        run = self._recorded(id_)
        text = of_run(run).text
        searched = f"{name}\n{text}" if name and name != text else text
        self._store.change(run.info.run_id, {content.TAG_TEXT: searched}, name or text)

    def tag(self, id_: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        wanted = [_checked_tag(tag) for tag in add]
        unwanted = {tag.strip() for tag in remove}
        run = self._recorded(id_)
        before = of_run(run).tags
        tags = [tag for tag in dict.fromkeys((*before, *wanted)) if tag not in unwanted]
        if len(tags) > MOST_TAGS:
            raise InvalidQueryError(f"a run has at most {MOST_TAGS} tags")
        value = f",{','.join(tags)}," if tags else ""
        self._store.change(run.info.run_id, {content.TAG_TAGS: value})

    def delete(self, ids: Sequence[str], undo_seconds: float = UNDO_SECONDS) -> None:
        self._outbox.delete([id_ for id_ in ids if _ID.fullmatch(id_)], undo_seconds)
        self._writer.wake()

    def restore(self, ids: Sequence[str]) -> list[str]:
        return self._outbox.restore(ids)

    def state(self) -> StoreState:
        pending, failed, failure = self._outbox.counts()
        deletions = len(self._outbox.deletions())
        return StoreState(pending, failed, self._writer.down(), failure, deletions)

    def retry(self) -> None:
        self._outbox.retry()
        self._writer.wake(now=True)

    def close(self) -> None:
        self._writer.close()
        self._outbox.close()

    def _open(self) -> None:
        self._store.open()

    def _write(self, item: Item) -> str:
        """Its run, made now unless there is one."""
        run = self._store.find(
            item.id if item.begun else None,
            None if item.forced else item.key,
            self._outbox.hidden(),
        )
        if run is not None:
            return str(run.info.run_id)
        trace = self._kept(item)
        self._outbox.begin(item.id)
        return self._store.write(item.id, trace, item.key, item.created)

    def _erase(self, deletion: Deletion) -> None:
        item = self._outbox.get(deletion.id)
        for run_id in {deletion.run_id, item.run_id if item else None} - {None}:
            self._store.erase(str(run_id))
        if item is not None and item.begun:
            self._store.erase_analysis(item.id)

    def _known(self, id_: str) -> Item | None:
        """What is known here of an id. Raises RunNotFoundError if it is none or deleted."""
        if not _ID.fullmatch(id_) or id_ in self._outbox.hidden():
            raise RunNotFoundError("there is no such run")
        return self._outbox.get(id_)

    def _settled(self, id_: str) -> bool:
        item = self._outbox.get(id_)
        return item is None or item.state != "pending" or bool(item.detail or self._writer.down())

    def _stored(self, item: Item | None, id_: str) -> Run:
        """Its run in the store. One that is gone from there is forgotten here as well."""
        try:
            return self._store.run(item.run_id or id_ if item else id_)
        except RunNotFoundError:
            if item is not None:
                self._outbox.forget(item.id)
            raise

    def _recorded(self, id_: str) -> Run:
        item = self._known(id_)
        if item is not None and item.state != "recorded":
            raise InvalidQueryError("the run is not in the store yet; it can't be changed now")
        return self._stored(item, id_)

    def _kept(self, item: Item) -> RoutingTrace:
        data = self._outbox.trace(item.id)
        if data is None:
            raise RecordingError("the run can't be read: its trace is not here any more")
        return _trace(data)

    def _trace_file(self, run: Run) -> bytes:
        with self._store.file(run, content.TRACE_FILE) as path:
            if path is None:
                raise RecordingError("the run can't be read: its trace file is gone")
            return path.read_bytes()

    def _waiting(self, query: Query) -> list[RunSummary]:
        items = self._outbox.items(("pending", "failed"), _MOST_WAITING)
        found = self._told([item for item in items if item.run_id is None])
        return [each for each in found if matches(each, query)]

    def _told(self, items: list[Item]) -> list[RunSummary]:
        """Items as the history shows them, waiting ones with the reason."""
        reason = self._writer.down()
        return [
            replace(of_item(item), detail=item.detail or reason)
            if item.state == "pending"
            else of_item(item)
            for item in items
        ]

    def _history_here(self, limit: int, cursor: str | None, query: Query, reason: str) -> Page:
        """While the store is down: what this place knows by itself."""
        offset = (cursor or _LOCAL + "0").removeprefix(_LOCAL)
        if not offset.isdecimal() or len(offset) > 9:
            raise InvalidQueryError("the cursor is not one of this list")
        start = int(offset)
        items = self._outbox.items(("pending", "failed", "recorded"), limit + 1, start)
        found = self._told(items[:limit])
        following = f"{_LOCAL}{start + limit}" if len(items) > limit else None
        reason = reason or self._writer.down() or "the store was down a moment ago"
        notice = f"Only analyses recorded from here, newest first, because {reason}"
        return Page([each for each in found if matches(each, query)], following, notice)


def _made_anew(path: str) -> bool:
    """Whether a file is not read from the run: its figures' pages need the network to open."""
    return path.startswith("figures/") and path.endswith(".html")


def _trace(data: bytes) -> RoutingTrace:
    try:
        return RoutingTrace.from_bytes(data)
    except TraceError as error:
        raise RecordingError(f"the run can't be read: {error}") from error


def _checked_tag(tag: str) -> str:
    tag = tag.strip()
    if not tag:
        raise InvalidQueryError("a tag can't be empty")
    if len(tag) > MOST_TAG:
        raise InvalidQueryError(f"a tag has at most {MOST_TAG} characters")
    if "," in tag or not tag.isprintable():
        raise InvalidQueryError("a tag can't hold a comma or control characters")
    return tag
