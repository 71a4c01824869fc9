"""Processes of the app that start at once.

`python -m app` imports for seconds, the same whatever it is to do. These are forked from a
process that has done so, and run the command line from there: a process of its own with its own
environment, standard streams and end. Some tests start the app as people do.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preloaded"])


class Forked:
    """`python -m app` with these arguments, used like a Popen. Files are its standard streams."""

    def __init__(
        self,
        arguments: Sequence[str | bytes],
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
        stdin: Path | None = None,
    ) -> None:
        line = [os.fsdecode(argument) for argument in arguments]
        files = [str(file or os.devnull) for file in (stdin, stdout, stderr)]
        live = (line, dict(environment), files)
        # A daemon's end is that of the tests, whatever becomes of them.
        self._process = CONTEXT.Process(target=_live, args=live, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("app", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def run_forked(
    arguments: Sequence[str | bytes], environment: Mapping[str, str], stdin: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = Forked(arguments, environment, stdout, stderr, stdin)
        try:
            code = process.wait(120)
        finally:
            process.kill()
        said = (file.read_text(encoding="utf-8") for file in (stdout, stderr))
        return subprocess.CompletedProcess(arguments, code, *said)


def _live(arguments: list[str], environment: dict[str, str], files: list[str]) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    how = (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT | os.O_APPEND] * 2)
    for number, file in enumerate(files):
        opened = os.open(file, how[number], 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww")
    )
    sys.argv = ["app", *arguments]
    from app.__main__ import main

    try:
        sys.exit(main(arguments))
    finally:
        # What forked processes leave out.
        atexit._run_exitfuncs()
