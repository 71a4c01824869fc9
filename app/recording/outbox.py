"""Analyses on their way to the store: one writer thread, and what is known of each."""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.recording.base import Entry, Receipt, RecordingError

log = logging.getLogger(__name__)

_MOST_WAITING = 1000
_MOST_REMEMBERED = 256


@dataclass
class Item:
    """An analysis that this process accepted. `entry` is let go once it is recorded."""

    entry: Entry | None
    key: str
    created: datetime
    receipt: Receipt


Write = Callable[[str, Entry, datetime], str]


class Outbox:
    """Hands entries to `write` one by one, in the order they came.

    `write(id, entry, created)` gives back the id of the run. One writer, because sqlite
    takes one at a time and answers a crowd with errors. Safe to use from any thread.
    """

    def __init__(self, write: Write, prepare: Callable[[], None]) -> None:
        self._write = write
        self._prepare = prepare
        self._queue: queue.SimpleQueue[tuple[Item, Entry] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._by_key: dict[str, str] = {}
        self._waiting = 0
        self._writer: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Starts the writer, which prepares the store first. Again is no harm."""
        with self._changed:
            if self._writer is None and not self._closed:
                self._writer = threading.Thread(target=self._work, name="recorder", daemon=True)
                self._writer.start()

    def put(self, entry: Entry, force: bool) -> Receipt:
        """Queues an entry, unless one of its key is in hand and `force` is not set."""
        self.start()
        with self._changed:
            if not force and (known := self._of_key(entry.key)):
                return known.receipt
            id_ = uuid.uuid4().hex
            if self._closed or self._waiting >= _MOST_WAITING:
                reason = "the app is stopping" if self._closed else "too many wait to be recorded"
                return Receipt(id_, None, "failed", reason)
            item = Item(entry, entry.key, datetime.now(UTC), Receipt(id_, None, "pending"))
            self._items[id_] = item
            self._by_key[entry.key] = id_
            self._waiting += 1
            self._queue.put((item, entry))
            return item.receipt

    def get(self, id_: str, wait: float = 0.0) -> Item | None:
        """What is known of an id, after up to `wait` seconds of waiting for its writing."""
        with self._changed:
            item = self._items.get(id_)
            if item is not None and wait > 0:
                self._changed.wait_for(lambda: item.receipt.status != "pending", wait)
            return replace(item) if item is not None else None

    def of_key(self, key: str) -> Receipt | None:
        """The pending or recorded analysis of a key that this process knows of."""
        with self._changed:
            item = self._of_key(key)
            return item.receipt if item else None

    def forget_key(self, key: str, id_: str) -> None:
        """Its run is gone from the store: the next one of that key is a new one."""
        with self._changed:
            if self._by_key.get(key) == id_:
                del self._by_key[key]

    def close(self) -> None:
        """Takes nothing more, waits until everything pending is written."""
        with self._changed:
            self._closed = True
            writer = self._writer
        if writer is not None and writer.is_alive():
            self._queue.put(None)
            writer.join()

    def _of_key(self, key: str) -> Item | None:
        return self._items.get(self._by_key.get(key, ""))

    def _work(self) -> None:
        try:
            self._prepare()
        except RecordingError as error:
            log.error("the store can't be opened yet: %s", error)
        except Exception:
            log.exception("the store can't be opened yet")
        while (waiting := self._queue.get()) is not None:
            item, entry = waiting
            self._settle(item, self._attempt(item, entry))

    def _attempt(self, item: Item, entry: Entry) -> Receipt:
        try:
            run_id = self._write(item.receipt.id, entry, item.created)
        except RecordingError as error:
            log.error("analysis %s could not be recorded: %s", item.receipt.id, error)
            return replace(item.receipt, status="failed", detail=str(error))
        except Exception:
            log.exception("analysis %s could not be recorded", item.receipt.id)
            return replace(item.receipt, status="failed", detail="it could not be written")
        return replace(item.receipt, run_id=run_id, status="recorded")

    def _settle(self, item: Item, receipt: Receipt) -> None:
        with self._changed:
            item.receipt = receipt
            self._waiting -= 1
            if receipt.status == "recorded":
                item.entry = None
            elif self._by_key.get(item.key) == receipt.id:
                del self._by_key[item.key]
            self._drop_oldest()
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        settled = [id_ for id_, item in self._items.items() if item.receipt.status != "pending"]
        for id_ in settled[: max(0, len(settled) - _MOST_REMEMBERED)]:
            item = self._items.pop(id_)
            if self._by_key.get(item.key) == id_:
                del self._by_key[item.key]
