"""An H2O server that only we can talk to, and that ends with us."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.automl.client import Client, H2OError
from app.automl.java import h2o_jar, java
from app.automl.tied import tied

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
# H2O takes the next free ones where these are taken: this and the one above it.
_FIRST_PORT = 54321
_USER = "moescope"
_START_SECONDS = 240.0
_LOOK_SECONDS = 0.1
_END_SECONDS = 20.0
_PID, _OUTPUT, _ADDRESS, _LOGIN = "pid", "output", "address", "login"
_SAID = 400


class ServerError(Exception):
    """H2O did not start, or ended by itself; the message is one line."""


class Server:
    """A started H2O, the client that may use it, and its folder, which goes when it ends."""

    def __init__(self, process: subprocess.Popen[bytes], client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._process = process

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def check(self) -> None:
        """Raises ServerError if it has ended."""
        if self._process.poll() is not None:
            raise ServerError(_why(self.folder, self._process.returncode))


@contextmanager
def h2o_server(folder: Path, memory_mb: int, threads: int) -> Iterator[Server]:
    """H2O while it lasts, with a `folder` of its own that is removed at the end.

    It listens on this machine alone, wants a password that nobody else knows, has no pages,
    reads and writes no file by its interface, and takes `memory_mb` of memory for its data.
    Raises AutomlMissingError, ServerError or OSError.
    """
    program, jar = java().program, h2o_jar()
    sweep(folder)
    for part in (folder, folder / "tmp"):
        part.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    # The form that Jetty reads; the password itself is never written down.
    digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    (folder / _LOGIN).write_text(f"{_USER}: MD5:{digest}, default\n", encoding="utf-8")
    command = [
        str(program),
        f"-Xmx{memory_mb}m",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        # Out of memory it would go on for hours without getting anywhere.
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ActiveProcessorCount={threads}",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "-jar",
        str(jar),
        *("-name", f"moescope-{secrets.token_hex(8)}"),
        *("-ip", _HOST, "-web_ip", _HOST, "-baseport", str(_FIRST_PORT)),
        *("-hash_login", "-login_conf", str(folder / _LOGIN)),
        "-disable_flow",
        *("-file_deny_glob", "**/*"),
        *("-ice_root", str(folder / "ice"), "-log_dir", str(folder / "log")),
        *("-nthreads", str(threads)),
        *("-notify_local", str(folder / _ADDRESS)),
    ]
    with (folder / _OUTPUT).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (the Java that was found)
            tied(command),
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Who presses Ctrl-C at a terminal stops us, not H2O before us.
            start_new_session=True,
        )
    try:
        (folder / _PID).write_text(str(process.pid), encoding="utf-8")
        yield Server(process, _client(process, folder, password), folder)
    finally:
        process.kill()
        process.wait(_END_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> bool:
    """Ends the H2O that a killed process left in its folder, and removes what it left; gives
    whether one still ran. No process of ours may be using the folder."""
    running = False
    with suppress(FileNotFoundError, ValueError):
        pid = int((folder / _PID).read_text(encoding="utf-8"))
        # The number may be another process' by now; the folder is named on no other's line.
        running = str(folder) in _command_line(pid)
        if running:
            log.warning("an H2O that was left running is ended, process %s", pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return running


def _client(process: subprocess.Popen[bytes], folder: Path, password: str) -> Client:
    """Once the server answers. Raises ServerError."""
    end = time.monotonic() + _START_SECONDS
    client = None
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(_why(folder, process.returncode))
        with suppress(FileNotFoundError, H2OError):
            if address := (folder / _ADDRESS).read_text(encoding="utf-8").strip():
                client = client or Client(address, _USER, password)
                client.version()
                return client
        time.sleep(_LOOK_SECONDS)
    raise ServerError(f"H2O did not start in {_START_SECONDS:.0f} seconds")


def _environment() -> dict[str, str]:
    """Nothing of ours, secrets least of all. Its threads don't spin while they wait."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OMP_WAIT_POLICY": "passive"}


def _why(folder: Path, code: int) -> str:
    try:
        said = (folder / _OUTPUT).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        said = ""
    log.error("H2O ended with %s: %s", code, said[-10 * _SAID :])
    if "OutOfMemoryError" in said:
        return "H2O ran out of memory; MOESCOPE_AUTOML_MB can give it more"
    if code < 0:
        return f"H2O was ended by signal {-code}"
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    return f"H2O ended with code {code}: {' '.join(last.split())[-_SAID:]}"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        pass
    # Systems without /proc.
    try:
        told = subprocess.run(  # noqa: S603
            ["ps", "-o", "args=", "-p", str(pid)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return told.stdout
