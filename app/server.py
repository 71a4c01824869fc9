"""Builds everything; `server` is what gunicorn and uvicorn run."""

from __future__ import annotations

import sys
from typing import Any, cast

# Plotly looks into pandas as soon as anybody has begun to import it. MLflow does, in a thread
# while the first pages are answered, so that they would find half of it.
import pandas  # noqa: F401
from a2wsgi import WSGIMiddleware
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.analysis import build_analyst
from app.api.app import create_api
from app.api.comparisons import comparisons
from app.api.paths import is_api
from app.api.predictions import predictions
from app.api.predictors import predictors
from app.api.tables import tables
from app.api.trainings import trainings
from app.api.watched import watched
from app.components import diagrams
from app.desk import Desk
from app.logs import log_to
from app.pages import create_app
from app.serving.serving import Serving
from app.settings import Settings, SettingsError, load_settings
from app.transport.kept import Kept

_PAGE_THREADS = 16
# gunicorn starts a worker again and again unless it ends with this status.
_GUNICORN_LOAD_ERROR = 4
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


class Pages(Mount):
    """The pages at every address that is not the API's."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and is_api(scope):
            return Match.NONE, {}
        return super().matches(scope)


class Headers:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


class BasePath:
    """Takes requests below a base path, whether the proxy before us left it on or took it off.

    What follows sees the path with it, and the base path as `root_path`, as ASGI wants it.
    """

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app = app
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = str(scope["path"])
        if path == self.base:
            query = scope["query_string"].decode("latin-1")
            whole = f"{self.base}/?{query}" if query else f"{self.base}/"
            await RedirectResponse(whole)(scope, receive, send)
            return
        if not path.startswith(f"{self.base}/"):
            path = self.base + path
        await self.app({**scope, "path": path, "root_path": self.base}, receive, send)


def build(settings: Settings) -> FastAPI:
    """API and pages on one port. Model and store are opened when the server has started."""
    analyst = build_analyst(settings)
    others = (tables, trainings, predictions, predictors, watched, comparisons)
    server = create_api(analyst, diagrams.route(analyst), *others)
    server.state.serving = Serving(settings, settings.queue)
    desk = Desk(settings, analyst.uploads, analyst.library, analyst.registry)
    server.state.desk = desk
    pages = create_app(analyst, desk.library, settings.base_path)
    # The adapter declares its ASGI types by itself, under names of its own.
    mounted = cast(ASGIApp, WSGIMiddleware(pages.server, workers=_PAGE_THREADS))
    server.router.routes.append(Pages("/", mounted))
    server.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)
    server.add_middleware(Kept, base=settings.base_path)
    if settings.base_path:
        server.add_middleware(BasePath, base=settings.base_path)
    server.add_middleware(Headers)
    return server


def __getattr__(name: str) -> Any:
    # Built when gunicorn asks for it, so that importing this module starts nothing.
    if name != "server":
        raise AttributeError(name)
    log_to(None)
    try:
        return build(load_settings())
    except SettingsError as error:
        sys.stderr.write(f"moescope: {error}\n")
        raise SystemExit(_GUNICORN_LOAD_ERROR) from None
