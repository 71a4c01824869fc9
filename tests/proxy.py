"""A reverse proxy as it stands before the app in production, small enough for the tests."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@contextmanager
def proxied(
    to: str,
    base: str = "",
    strips: bool = False,
    scheme: str = "http",
    hold: Callable[[str, str], object] = lambda _method, _path: None,
) -> Iterator[str]:
    """A proxy that shows the server at `to` below `base`; gives its own address.

    With `strips` the server is asked without the base path. `scheme` is what it tells the
    server about the browser's connection. Other paths than those below `base` are 404 with it.
    Each request waits until `hold` has looked at its method and path.
    """
    port = urlsplit(to).port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            if not f"{self.path}/".startswith((f"{base}/", f"{base}?")):
                self.send_error(404, "the proxy shows nothing here")
                return
            hold(self.command, self.path)
            path = self.path.removeprefix(base) if strips else self.path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {**self.headers, "X-Forwarded-Proto": scheme}
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                connection.request(self.command, path or "/", body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            # Whoever asked may have gone to another page.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_args: object) -> None:
            """Nothing: the tests' output is not a log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)
