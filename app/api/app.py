"""The FastAPI application, without the pages that stand beside it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__
from app.analysis import Analyst
from app.api import problem
from app.api.checkpoints import checkpoints
from app.api.corpora import corpora
from app.api.downloads import exports, run_files
from app.api.limits import BodyLimit
from app.api.passes import passes, uploads
from app.api.routes import api, health
from app.api.runs import history, store

_DESCRIPTION = """
Where a Mixture-of-Experts model sends every token.

Errors are `application/problem+json`. A text over the token limit is refused with 413.
"""


def create_api(analyst: Analyst, *others: APIRouter) -> FastAPI:
    """Routes, those of `others` too, errors and documentation. The model loads while the app is
    up already."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # What has been imported stays: a search for garbage that looks through it stops everyone.
        gc.freeze()
        analyst.registry.start_loading(analyst.registry.default)
        analyst.recorder.start()
        analyst.jobs.start()
        # All that may wait in the queue have a thread, or it would never be full.
        to_thread.current_default_thread_limiter().total_tokens += analyst.queue.limit
        yield
        await to_thread.run_sync(analyst.jobs.close)
        await to_thread.run_sync(analyst.saturations.close)
        # What was accepted is written before the process ends.
        await to_thread.run_sync(analyst.recorder.close)

    app = FastAPIOffline(
        title="MoEScope",
        version=__version__,
        description=_DESCRIPTION,
        redoc_url=None,
        lifespan=lifespan,
        # The badge would ask a server on the internet about our schema.
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.analyst = analyst
    for router in (
        health,
        api,
        run_files,
        exports,
        history,
        store,
        uploads,
        passes,
        checkpoints,
        corpora,
        *others,
    ):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    problem.install(app)
    _document_problems(app)
    return app


def _document_problems(app: FastAPI) -> None:
    """Gives errors their media type in the schema; FastAPI writes application/json."""
    schema: dict[str, Any] = app.openapi()
    for path in schema["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400" and "content" in answer:
                    answer["content"] = {problem.MEDIA_TYPE: answer["content"]["application/json"]}
