"""What the integration tests share besides fixtures."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.recording.base import Entry

ROOT = Path(__file__).parents[2]
Folder = Callable[[], Path]
Command = Callable[..., subprocess.CompletedProcess[str]]
Environment = Callable[..., dict[str, str]]
MakeEntry = Callable[[str], Entry]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
    """One request; `body` bytes are sent as they are, anything else as JSON."""
    if body is not None:
        headers.setdefault("content-type", "application/json")
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, found, response.read())


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_ready(address: str) -> bool:
    """Whether a server listens there and its default model answers."""
    try:
        return ask(f"{address}/readyz").status == 200
    except OSError:  # not there yet, or too busy to answer
        return False


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Really starts a server with the app, in a thread; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
        thread.start()
        try:
            until(lambda: running.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
