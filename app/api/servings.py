"""What the routes of predictions are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, FastAPI, Request

from app.recording.base import InvalidQueryError
from app.recording.registered import CHAMPION
from app.serving.serving import Serving


def serving_of(request: Request) -> Serving:
    """The serving that the application was made with."""
    serving: Serving = request.app.state.serving
    return serving


@asynccontextmanager
async def noting(app: FastAPI) -> AsyncIterator[None]:
    """What was noted of requests is written down before the application ends."""
    yield
    serving: Serving = app.state.serving
    await to_thread.run_sync(serving.close)


def chosen_of(alias: str | None, version: int | None) -> str | int:
    """The version that is asked: by alias, by number, or the champion. Raises
    InvalidQueryError for both."""
    if alias is not None and version is not None:
        raise InvalidQueryError("name an alias or a version, not both")
    return version if version is not None else alias or CHAMPION


Servings = Annotated[Serving, Depends(serving_of)]
