"""The one thread that carries what waits in the outbox to the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from app.recording.base import RecordingError, StoreDownError
from app.recording.outbox import Deletion, Item, Outbox

log = logging.getLogger(__name__)

# How often it looks for what other processes have put there.
_LOOK_SECONDS = 0.25
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# After these many seconds an analysis is tried again, and after the last it has failed.
_AGAIN_SECONDS = (1.0, 5.0, 30.0, 120.0)
_DOWN = "down"


class Writer:
    """Writes one by one in the order they came, by whichever process holds the lock.

    `write(item)` gives the id of the run, `erase(deletion)` carries out a deletion. If the
    store is down everything waits, longer each time, up to a minute; another error is held
    against the analysis, which fails after some tries.
    """

    def __init__(
        self,
        outbox: Outbox,
        lock: Path,
        prepare: Callable[[], None],
        write: Callable[[Item], str],
        erase: Callable[[Deletion], None],
    ) -> None:
        self._outbox = outbox
        self._lock = FileLock(lock, thread_local=False)
        self._prepare = prepare
        self._write = write
        self._erase = erase
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        # Whether what is noted about the store is no leftover of an earlier process.
        self._informed = False
        self._asked = 0
        self._pause = 0.0
        self._resume = 0.0

    def start(self) -> None:
        """Starts the thread. Again is no harm."""
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
                self._thread.start()

    def wake(self, now: bool = False) -> None:
        """There is something to do; with `now` even if the store was down a moment ago."""
        self.start()
        with self._changed:
            self._asked += 1
            if now:
                self._pause = self._resume = 0.0
            self._changed.notify_all()

    def down(self) -> str:
        """Why the store can't be used, as the process that writes found; empty while it can."""
        return self._outbox.note(_DOWN) if self._informed else ""

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Waits for something to be done, by this process or another."""
        end = time.monotonic() + seconds
        while not done() and (left := end - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait(min(left, 0.05))

    def close(self) -> None:
        """Goes on while there is something to do and the store takes it, then ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        try:
            while not self._own():
                self._informed = True
                if self._rest(_LOOK_SECONDS):
                    return
            self._guarded(self._open)
            self._informed = True
            while True:
                busy = self._guarded(self._step)
                if not busy and self._rest(max(_LOOK_SECONDS, self._resume - time.monotonic())):
                    return
        finally:
            self._lock.release()

    def _own(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            log.error("the outbox can't be locked: %s", error)
            return False
        return True

    def _rest(self, seconds: float) -> bool:
        """Waits for a call; whether it is time to end."""
        with self._changed:
            asked = self._asked
            self._changed.wait_for(lambda: self._closing or self._asked != asked, seconds)
            return self._closing

    def _open(self) -> bool:
        self._prepare()
        self._up()
        return True

    def _step(self) -> bool:
        """Does the next thing; whether there was one."""
        if time.monotonic() < self._resume:
            return False
        for deletion in self._outbox.deletions(due=True, limit=1):
            self._carry_out(deletion)
            return True
        item = self._outbox.next()
        if item is None:
            return False
        try:
            run_id = self._write(item)
        except StoreDownError:
            raise
        except Exception as error:
            self._put_off(item, error)
        else:
            self._outbox.settle(item.id, run_id)
            self._up()
        with self._changed:
            self._changed.notify_all()
        return True

    def _carry_out(self, deletion: Deletion) -> None:
        try:
            self._erase(deletion)
        except StoreDownError:
            raise
        except Exception:
            log.exception("%s could not be deleted; it is tried again", deletion.id)
            self._outbox.put_off_deletion(deletion.id, _LONGEST_PAUSE)
        else:
            self._outbox.forget(deletion.id)
            self._up()

    def _put_off(self, item: Item, error: Exception) -> None:
        detail = str(error) if isinstance(error, RecordingError) else "it could not be written"
        again = _AGAIN_SECONDS[item.failures] if item.failures < len(_AGAIN_SECONDS) else None
        log.error(
            "analysis %s could not be recorded: %s",
            item.id,
            detail,
            exc_info=not isinstance(error, RecordingError),
        )
        self._outbox.put_off(item.id, detail, again)

    def _guarded(self, action: Callable[[], bool]) -> bool:
        """Nothing may end the thread: whatever is raised makes it wait and try again."""
        try:
            return action()
        except RecordingError as error:
            self._down(str(error))
        except Exception:
            log.exception("recording is interrupted")
            self._down("recording is interrupted; the log says why")
        return False

    def _down(self, reason: str) -> None:
        with self._changed:
            self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
            self._resume = time.monotonic() + self._pause
            self._changed.notify_all()
        self._tell(reason)

    def _up(self) -> None:
        self._pause = self._resume = 0.0
        self._tell("")

    def _tell(self, reason: str) -> None:
        try:
            if self._outbox.note(_DOWN) != reason:
                if reason:
                    log.error("the store can't be used: %s", reason)
                else:
                    log.info("the store can be used again")
                self._outbox.note(_DOWN, reason)
        except RecordingError as error:
            log.error("the outbox can't be used: %s", error)
