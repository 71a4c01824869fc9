"""Generations under way: followed token by token, stopped, and given up when nobody looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.routing.errors import BusyError
from app.routing.task import Task
from app.routing.trace import RoutingTrace

log = logging.getLogger(__name__)

_NOBODY_LOOKS_SECONDS = 20.0
_KEPT_SECONDS = 600.0

Run = Callable[[Task, str, Callable[[RoutingTrace], bool]], RoutingTrace]


@dataclass
class _Stream:
    task: Task
    model_id: str
    attempt: int
    trace: RoutingTrace | None = None
    done: bool = False
    error: Exception | None = None
    stopped: bool = False
    asked: float = field(default_factory=time.monotonic)


class Streams:
    """One generation per visitor; a new one ends the one before.

    `run(task, model_id, on_token)` generates. Safe to use from any thread.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._changed = threading.Condition()
        self._streams: dict[str, _Stream] = {}

    def follow(
        self, visitor: str, task: Task, model_id: str, attempt: int, known: int, wait: float
    ) -> tuple[RoutingTrace | None, bool]:
        """The trace so far, None before the first token, and whether it is complete.

        Starts the generation unless it is under way; another `attempt` begins anew. Waits
        up to `wait` seconds for more than `known` tokens. Raises what the generation raised.
        """
        with self._changed:
            stream = self._of(visitor, task, model_id, attempt)
            stream.asked = time.monotonic()
            self._changed.wait_for(lambda: stream.done or _tokens(stream) > known, wait)
            if isinstance(stream.error, BusyError):
                # Whoever asks again begins anew.
                self._streams.pop(visitor, None)
            if stream.error is not None:
                raise stream.error
            return stream.trace, stream.done

    def result(self, visitor: str, task: Task, model_id: str, attempt: int) -> RoutingTrace | None:
        """The finished trace of a visitor's generation, if it is the one still in hand."""
        with self._changed:
            stream = self._streams.get(visitor)
            wanted = (task, model_id, attempt)
            if stream and stream.done and (stream.task, stream.model_id, stream.attempt) == wanted:
                return stream.trace
            return None

    def stop(self, visitor: str) -> None:
        """Ends a visitor's generation after the token in hand; what there is stays."""
        with self._changed:
            if stream := self._streams.get(visitor):
                stream.stopped = True

    def _of(self, visitor: str, task: Task, model_id: str, attempt: int) -> _Stream:
        now = time.monotonic()
        for other in [v for v, s in self._streams.items() if now - s.asked > _KEPT_SECONDS]:
            self._streams.pop(other).stopped = True
        stream = self._streams.get(visitor)
        if stream is not None:
            if (stream.task, stream.model_id, stream.attempt) == (task, model_id, attempt):
                return stream
            stream.stopped = True
        stream = self._streams[visitor] = _Stream(task, model_id, attempt)
        threading.Thread(target=self._work, args=(stream,), name="generate", daemon=True).start()
        return stream

    def _work(self, stream: _Stream) -> None:
        def told(trace: RoutingTrace) -> bool:
            with self._changed:
                stream.trace = trace
                self._changed.notify_all()
                return stream.stopped or time.monotonic() - stream.asked > _NOBODY_LOOKS_SECONDS

        try:
            trace = self._run(stream.task, stream.model_id, told)
            error = None
        except Exception as failure:
            log.info("a generation ended: %s", failure)
            trace, error = None, failure
        with self._changed:
            stream.trace = trace or stream.trace
            stream.error = error
            stream.done = True
            self._changed.notify_all()


def _tokens(stream: _Stream) -> int:
    return len(stream.trace.sequences[stream.trace.stacks[-1]]) if stream.trace else 0
