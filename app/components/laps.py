"""Where an answer's time goes, told in its Server-Timing header (W3C Server Timing)."""

from __future__ import annotations

import time

from app.queueing import Queue


class Laps:
    """Seconds by stage of the thread that makes an answer, waiting in the queue apart."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._begun = self._last = time.perf_counter()
        self._first_waited = self._waited = queue.waited
        self._spent: dict[str, float] = {}

    def __call__(self, name: str) -> None:
        """What has passed since the last call belongs to a stage."""
        now, waited = time.perf_counter(), self._queue.waited
        self._spent[name] = now - self._last - (waited - self._waited)
        self._last, self._waited = now, waited

    @property
    def whole(self) -> float:
        """Seconds since the beginning, waiting included."""
        return time.perf_counter() - self._begun

    def header(self) -> str:
        """The stages in milliseconds, in the order they came."""
        stages = {"queue": self._waited - self._first_waited, **self._spent}
        return ", ".join(f"{name};dur={1000 * spent:.2f}" for name, spent in stages.items())
