"""Many at once: equal work is done once, in the order it came, and only so much may wait.

Threads of Python share one interpreter: many that compute at the same time are slower, and
less fair to each other, than the same ones in a line.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from app.routing.errors import BusyError

T = TypeVar("T")

_REST_FACTOR = 3
_LONGEST_REST_SECONDS = 0.1
_LOOK_SECONDS = 0.003
_AFTERWARDS_SECONDS = 0.01


class Queue:
    """A line in front of the processor. Safe to use from any thread.

    `limit` is how many different pieces of work may wait beside the one in hand.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._changing = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}
        self._taken = False
        self._worked = 0.0
        self._here = threading.local()
        self._waiting: deque[threading.Lock] = deque()

    def once(self, key: Hashable, work: Callable[[], T], patient: bool = True) -> T:
        """`work()`, or the result of the same key's that is under way, errors included.

        Raises BusyError without `patient` when too much waits already.
        """
        with self._changing:
            future = self._under_way.get(key)
            mine = future is None
            if future is None:
                self._admit(patient)
                future = self._under_way[key] = Future()
        if mine:
            try:
                result = work()
            except BaseException as error:
                self._leave(key)
                future.set_exception(error)
            else:
                self._leave(key)
                future.set_result(result)
        with self._noted():
            answer: T = future.result()
        return answer

    @contextmanager
    def place(self, patient: bool = True) -> Iterator[None]:
        """Counts as one piece of work while it lasts. Raises BusyError as `once` does."""
        key = object()
        with self._changing:
            self._admit(patient)
            self._under_way[key] = Future()
        try:
            yield
        finally:
            self._leave(key)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Alone while it lasts, first come, first served: for work that only computes.

        A plain lock would let those who come late and often overtake.
        """
        gate = None
        with self._changing:
            if self._taken:
                gate = threading.Lock()
                gate.acquire()
                self._waiting.append(gate)
            self._taken = True
        if gate is not None:
            with self._noted():
                gate.acquire()
        try:
            yield
        finally:
            with self._changing:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._taken = False
                self._worked = time.monotonic()

    def give_way(self) -> None:
        """For work that nobody waits for, between two pieces of it: lets analyses go first.

        Waits at most three times as long as the thread worked since it last did, so that it
        comes to an end however many people type.
        """
        now = time.monotonic()
        worked = now - getattr(self._here, "resumed", now)
        end = now + min(_LONGEST_REST_SECONDS, _REST_FACTOR * worked)
        while self.busy and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        self._here.resumed = time.monotonic()

    def __len__(self) -> int:
        """How much waits or is in hand."""
        return len(self._under_way)

    @property
    def busy(self) -> bool:
        """Whether an analysis is under way, or was a moment ago."""
        # An answer is still on its way out for a moment.
        just_now = time.monotonic() - self._worked < _AFTERWARDS_SECONDS
        return self._taken or bool(self._under_way) or just_now

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @property
    def waited(self) -> float:
        """Seconds that the asking thread has waited here so far, for its turn or for others."""
        return float(getattr(self._here, "waited", 0.0))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._here.waited = self.waited + time.perf_counter() - start

    def _admit(self, patient: bool) -> None:
        if not patient and len(self._under_way) > self.limit:
            raise BusyError("too many analyses wait here just now; try again in a moment")

    def _leave(self, key: Hashable) -> None:
        with self._changing:
            del self._under_way[key]
            self._worked = time.monotonic()
