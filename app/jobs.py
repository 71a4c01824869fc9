"""Passes in the background: one after the other, each in a process of its own.

A process of its own keeps the live page quick, and when one ends in whatever way, or the server
does, the pass goes on from its last state. A process whose server is gone ends by itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from app.corpus.library import Library, Pass, PassNotFoundError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# A store that is down is asked again after so long.
_RECORD_SECONDS = 60.0
_END_SECONDS = 20.0


class Jobs:
    """Carries on the passes of a library that are wanted, the oldest first."""

    def __init__(self, library: Library, environment: Mapping[str, str]) -> None:
        """`environment`: this process's settings, for the others."""
        self._library = library
        self._environment = dict(environment)
        self._look = threading.Event()
        self._ending = False
        self._tried: dict[str, float] = {}
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        """Begins to look for work."""
        self._thread.start()

    def wake(self) -> None:
        """Looks at once."""
        self._look.set()

    def close(self) -> None:
        """Stops after the batch in hand; what is not done goes on at the next start."""
        self._ending = True
        self._look.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _work(self) -> None:
        while not self._ending:
            self._look.clear()
            try:
                chosen = self._next()
                if chosen is not None:
                    self._carry_on(chosen.about.id)
                    continue
            except Exception:
                log.exception("looking after corpus passes failed")
            self._look.wait(_LOOK_SECONDS)

    def _next(self) -> Pass | None:
        waiting = [one for one in reversed(self._library.passes()) if self._due(one)]
        return waiting[0] if waiting else None

    def _due(self, one: Pass) -> bool:
        if one.status == "finished":
            tried = self._tried.get(one.about.id)
            return tried is None or time.monotonic() - tried > _RECORD_SECONDS
        return one.status == "waiting"

    def _carry_on(self, id_: str) -> None:
        command = [sys.executable, "-m", "app", "corpus", "--job", id_]
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
        self._tried[id_] = time.monotonic()
        if process.returncode and not self._ending:
            self._explain(id_, process.returncode)

    def _explain(self, id_: str, code: int) -> None:
        """A process that ended without a word, because it was killed for memory for instance."""
        try:
            found = self._library.find(id_)
        except PassNotFoundError:
            return
        log.error("the process of the corpus pass %s ended with %s", id_, code)
        if not found.detail and not found.state.finished:
            ended = f"by signal {-code}" if code < 0 else f"with code {code}"
            self._library.failed(id_, f"its process ended {ended}; it can go on from where it was")
