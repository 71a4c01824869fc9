"""How much a request may bring."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.paths import brings_rows, is_api, is_upload
from app.api.problem import problem

MOST_BYTES = 1_000_000
# Rows that are to be predicted.
MOST_ROWS_BYTES = 32_000_000
# A client that is cut off while it still sends sees a broken connection, not the answer.
_DRAINED = 32_000_000


class BodyLimit:
    """Answers 413 to an API request whose body is larger than a text can be, or than rows can be;
    uploads of corpora and tables have a limit of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_api(scope) or is_upload(scope):
            await self.app(scope, receive, send)
            return
        most = MOST_ROWS_BYTES if brings_rows(scope) else MOST_BYTES
        body, size, more = bytearray(), 0, True
        while more and size <= most + _DRAINED:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= most:
                body += chunk
            more = message.get("more_body", False)
        if size > most:
            answer = problem(413, f"the request is larger than {most:,} bytes")
            await answer(scope, receive, send)
            return
        await self.app(scope, _replay(bytes(body), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
