"""The pages, which speak WSGI, as an ASGI application: one trip to a thread and back.

a2wsgi's own adapter hands body, start and every part of an answer over one by one, and waits
for each. With many requests at once each of these waits for the interpreter; handed over whole,
a server with 20 people who type does a quarter more. What it can't do is stream.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from a2wsgi.wsgi import build_environ
from starlette.types import Receive, Scope, Send

Wsgi = Callable[[Any, Any], Iterable[bytes]]
_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Whole:
    """Runs a WSGI application in `threads` threads, request and answer in one piece each."""

    def __init__(self, app: Wsgi, threads: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pages")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        body = await _body(receive)
        if body is None:
            return
        # The adapter's types are its own: what it takes and reads are these.
        environ = build_environ(cast(Any, scope), cast(Any, io.BytesIO(body)))
        run = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        status, headers, content = await loop.run_in_executor(
            self._threads, run, self._answer, environ
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, environ: Any) -> _Answer:
        told: list[Any] = []
        written: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            told[:] = status, headers
            return written.append

        parts = self._app(environ, start)
        try:
            content = b"".join([*written, *parts])
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers = told
        named = [(n.strip().lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        return int(status.split(" ", 1)[0]), named, content


async def _body(receive: Receive) -> bytes | None:
    """A request's whole body, None if the one who asks has gone."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)
