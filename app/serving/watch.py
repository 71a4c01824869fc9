"""Notes what is asked, without keeping anyone waiting: a thread of its own writes it down."""

from __future__ import annotations

import logging
import sqlite3
import threading

from app.recording.base import RecordingError
from app.serving.notes import Note
from app.serving.store import WatchStore

log = logging.getLogger(__name__)

# Notes of so many rows may wait; what comes on top is lost rather than fill the memory.
MOST_WAITING_ROWS = 500_000
_GATHER_SECONDS = 0.25
_FLUSH_SECONDS = 5.0
_END_SECONDS = 20.0


class Watch:
    """Writes notes into a store, many at once. Safe to use from any thread."""

    def __init__(self, store: WatchStore) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._notes = list[Note]()
        self._rows = 0
        self._lost = 0
        self._writing = self._hurry = self._ending = False
        self._thread: threading.Thread | None = None

    def note(self, note: Note) -> None:
        """Takes a note; never waits."""
        with self._changed:
            if self._rows + note.rows > MOST_WAITING_ROWS or self._ending:
                self._lost += 1
                return
            self._notes.append(note)
            # A request without rows takes memory too.
            self._rows += max(note.rows, 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until what was noted so far is written, but not for ever."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._notes and not self._writing, _FLUSH_SECONDS)

    def close(self) -> None:
        """Writes what was noted, and ends."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_END_SECONDS)

    def reading(self) -> WatchStore:
        """The store with all that was noted so far. What it raises see `readable`."""
        self.flush()
        return self._store

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._notes or self._ending)
                # Others come in a moment, and many are written as fast as one.
                self._changed.wait_for(lambda: self._hurry or self._ending, _GATHER_SECONDS)
                notes, self._notes, self._rows = self._notes, [], 0
                lost, self._lost = self._lost, 0
                self._hurry, self._writing = False, True
            if lost:
                log.error("requests that are not noted, too many came at once: %s", lost)
            try:
                if notes:
                    self._store.add(notes)
            except Exception:
                log.exception("requests that could not be noted: %s", len(notes))
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                if self._ending and not self._notes:
                    return


def readable(error: sqlite3.Error) -> RecordingError:
    """Why what was noted can't be read, in one line."""
    return RecordingError(f"what was noted of requests can't be read: {error}")
