"""Passes and trainings in the background: one after the other, each in a process of its own.

A process of its own keeps the live page quick, and when one ends in whatever way, or the server
does, a pass goes on from its last state; a training is marked as broken off. A process whose
server is gone ends by itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress

from app.automl.library import Training, TrainingNotFoundError, Trainings
from app.corpus.library import Library, Pass, PassNotFoundError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# A store that is down is asked again after so long.
_RECORD_SECONDS = 60.0
_END_SECONDS = 20.0


class Background(ABC):
    """Carries on what is wanted of one kind, the oldest first, by a command of this program."""

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        """`environment`: this process's settings, for the others."""
        self._command = command
        self._environment = dict(environment)
        self._look = threading.Event()
        self._ending = False
        self._tried: dict[str, float] = {}
        self._thread = threading.Thread(target=self._work, name=f"{command} jobs", daemon=True)

    @abstractmethod
    def _next(self) -> str | None:
        """The id of what is to be done, None for nothing."""

    @abstractmethod
    def _explain(self, id_: str, how: str) -> None:
        """Notes that a process ended without a word, because it was killed for memory for
        instance; `how` is "by signal 9" or "with code 1"."""

    def start(self) -> None:
        """Begins to look for work."""
        self._thread.start()

    def wake(self, id_: str) -> None:
        """Looks at once for what is wanted, even if it was tried just now."""
        self._tried.pop(id_, None)
        self._look.set()

    def close(self) -> None:
        """Stops what is in hand; what is not done goes on, or begins again, when asked for."""
        self._ending = True
        self._look.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _is_due_again(self, id_: str) -> bool:
        """Whether it was not tried just now: for what is done but could not be recorded."""
        tried = self._tried.get(id_)
        return tried is None or time.monotonic() - tried > _RECORD_SECONDS

    def _work(self) -> None:
        while not self._ending:
            self._look.clear()
            try:
                chosen = self._next()
                if chosen is not None:
                    self._carry_on(chosen)
                    continue
            except Exception:
                log.exception("looking after %s jobs failed", self._command)
            self._look.wait(_LOOK_SECONDS)

    def _carry_on(self, id_: str) -> None:
        # Before it begins: who asks for it meanwhile asks for another try.
        self._tried[id_] = time.monotonic()
        command = [sys.executable, "-m", "app", self._command, "--job", id_]
        process = subprocess.Popen(  # noqa: S603 (this program, with an id that was found)
            command,
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            while process.poll() is None and not self._ending:
                time.sleep(_LOOK_SECONDS / 4)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(_END_SECONDS)
        code = process.returncode
        if code and not self._ending:
            log.error("the process of the %s job %s ended with %s", self._command, id_, code)
            self._explain(id_, f"by signal {-code}" if code < 0 else f"with code {code}")


class Jobs(Background):
    """The passes of a library."""

    def __init__(self, library: Library, environment: Mapping[str, str]) -> None:
        super().__init__("corpus", environment)
        self._library = library

    def _next(self) -> str | None:
        waiting = [one for one in reversed(self._library.passes()) if self._due(one)]
        return waiting[0].about.id if waiting else None

    def _due(self, one: Pass) -> bool:
        if one.status == "finished":
            return self._is_due_again(one.about.id)
        return one.status == "waiting"

    def _explain(self, id_: str, how: str) -> None:
        try:
            found = self._library.find(id_)
        except PassNotFoundError:
            return
        if not found.detail and not found.state.finished:
            reason = f"its process ended {how}; it can go on from where it was"
            self._library.failed(id_, reason)


class TrainingJobs(Background):
    """The trainings of a library. What a killed process left running is ended at the start."""

    def __init__(self, library: Trainings, environment: Mapping[str, str]) -> None:
        super().__init__("train", environment)
        self._library = library

    def start(self) -> None:
        self._library.sweep()
        super().start()

    def _next(self) -> str | None:
        waiting = [one.id for one in reversed(self._library.all()) if self._due(one)]
        return waiting[0] if waiting else None

    def _due(self, one: Training) -> bool:
        if one.status == "finished" or self._library.ended_early(one.id):
            return self._is_due_again(one.id)
        return one.status == "waiting"

    def _explain(self, id_: str, how: str) -> None:
        self._library.sweep()
        with suppress(TrainingNotFoundError):
            self._library.broken_off(id_, how)
            if self._library.ended_early(id_):
                self.wake(id_)  # its run is to say so at once
