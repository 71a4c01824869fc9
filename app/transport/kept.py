"""The pages' own files, compressed once and answered from memory.

Dash serves scripts and styles from many packages, under names that hold their version. They
never change while the server runs, so what it answers first is kept.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

# A version or a time in the name: another content would have another name.
_NAMED = re.compile(rb"[?&]m=[\d.]+|\.v[\w-]+m[0-9a-fA-F]+\.|-\d+\.\d+\.\d+\.")
_PLACES = ("/assets/", "/_dash-component-suites/")
_LINKED = re.compile(rb'(?:src|href)="([^"]+)"')
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_MOST_FILES, _MOST_BYTES = 500, 64_000_000
_LEVEL = 9
# What is small stays within one packet either way.
_LEAST_BYTES = 1000


@dataclass(frozen=True)
class _File:
    content: bytes
    compressed: bytes | None
    headers: Mapping[str, str]

    @property
    def size(self) -> int:
        return len(self.content) + len(self.compressed or b"")


class Kept:
    """Keeps the answers to GET for files in front of `app`; everything else goes through.

    A file with its version in its name may be kept by browsers for ever, another one is asked
    for again and answered with 304 while it is the same. What the page at `base` links to is
    kept from the start, so that nobody waits for it to be compressed.
    """

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        self.app = app
        self._base = base
        self._files: OrderedDict[tuple[str, bytes], _File] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()
        self._warming: asyncio.Task[None] | None = None
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._around(send))
            return
        if scope["type"] != "http" or scope["method"] != "GET" or not _is_file(scope):
            await self.app(scope, receive, send)
            return
        key = (str(scope["path"]), bytes(scope["query_string"]))
        file = self._files.get(key)
        if file is None:
            answer = await _answered(self.app, scope, receive)
            if answer.status != 200:
                await answer.send(send)
                return
            file = await to_thread.run_sync(_file, answer, b"?".join((key[0].encode(), key[1])))
            self._keep(key, file)
        await _send(file, Headers(scope=scope), send)

    def _around(self, send: Send) -> Send:
        """Makes files ready once the server has started, and no more of them when it ends."""

        async def told(message: Message) -> None:
            if self._warming is not None:
                # A page that is made in a thread can't be answered when the loop is gone.
                self._ending = True
                await self._warming
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._warming = asyncio.create_task(self._warm())

        return told

    async def _warm(self) -> None:
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "root_path": self._base,
            "path": f"{self._base}/",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        try:
            page = await _answered(self.app, scope, _nothing)
            for linked in _LINKED.findall(page.content):
                if self._ending:
                    break
                path, _, query = linked.partition(b"?")
                file = {**scope, "path": path.decode(), "query_string": query}
                if _is_file(file):
                    await self(file, _nothing, _Answer().take)
        except Exception:
            log.exception("the files of the pages could not be made ready")

    def _keep(self, key: tuple[str, bytes], file: _File) -> None:
        with self._changing:
            if before := self._files.pop(key, None):
                self._bytes -= before.size
            self._files[key] = file
            self._bytes += file.size
            while len(self._files) > _MOST_FILES or self._bytes > _MOST_BYTES:
                self._bytes -= self._files.popitem(last=False)[1].size


class _Answer:
    """An answer put together from its messages."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.content = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.content += message.get("body", b"")

    async def send(self, send: Send) -> None:
        start: dict[str, Any] = {"status": self.status, "headers": self.headers}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": self.content})


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _answered(app: ASGIApp, scope: Scope, receive: Receive) -> _Answer:
    """The whole answer, as it is without compression or conditions."""
    headers = MutableHeaders(raw=list(scope["headers"]))
    for name in ("accept-encoding", "if-none-match", "if-modified-since", "range"):
        del headers[name]
    answer = _Answer()
    await app({**scope, "headers": headers.raw}, receive, answer.take)
    return answer


def _file(answer: _Answer, address: bytes) -> _File:
    content = answer.content
    packed = gzip.compress(content, _LEVEL, mtime=0) if len(content) >= _LEAST_BYTES else content
    tag = hashlib.sha256(content).hexdigest()[:32]
    return _File(
        content,
        packed if len(packed) < len(content) else None,
        {
            "content-type": Headers(raw=answer.headers).get("content-type", ""),
            "cache-control": _FOR_EVER if _NAMED.search(address) else _ASK_AGAIN,
            # Weak: the same for the compressed form.
            "etag": f'W/"{tag}"',
            "vary": "Accept-Encoding",
        },
    )


async def _send(file: _File, asked: Headers, send: Send) -> None:
    content, headers = file.content, MutableHeaders(dict(file.headers))
    known = [tag.strip() for tag in asked.get("if-none-match", "").split(",")]
    status = 200
    if file.headers["etag"] in known or "*" in known:
        status, content = 304, b""
        del headers["content-type"]
    elif file.compressed is not None and _takes_gzip(asked.get("accept-encoding", "")):
        content = file.compressed
        headers["content-encoding"] = "gzip"
    if status == 200:
        headers["content-length"] = str(len(content))
    await send({"type": "http.response.start", "status": status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": content})


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.split(","):
        name, _, quality = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _is_file(scope: Scope) -> bool:
    return str(scope["path"]).removeprefix(scope.get("root_path", "")).startswith(_PLACES)
