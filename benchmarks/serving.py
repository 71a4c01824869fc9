"""A really started server: its own process, a free port, a data folder that goes away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_START_SECONDS = 90.0


@dataclass(frozen=True)
class Served:
    """Where it listens, and the number of its process."""

    address: str
    pid: int


@contextmanager
def served(**environment: str) -> Iterator[str]:
    """Starts the app and yields its address once its default model answers."""
    with started(**environment) as server:
        yield server.address


@contextmanager
def started(**given: str) -> Iterator[Served]:
    """The same, with its process."""
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as folder:
        port = _free_port()
        address = f"http://127.0.0.1:{port}"
        log = Path(folder) / "server.log"
        environment = os.environ | {
            "MOESCOPE_HOST": "127.0.0.1",
            "MOESCOPE_PORT": str(port),
            "MOESCOPE_DATA_DIR": f"{folder}/data",
            "MLFLOW_TRACKING_URI": "",
            "MINIO_ENDPOINT": "",
            **given,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "app"], env=environment, stdout=output, stderr=output
            )
        try:
            _wait_until_ready(address, process, log)
            yield Served(address, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{address}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"the server did not become ready:\n{tail}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
