"""What the routes of trainings are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, FastAPI, Request

from app.desk import Desk


def desk_of(request: Request) -> Desk:
    """The desk that the application was made with."""
    desk: Desk = request.app.state.desk
    return desk


@asynccontextmanager
async def at_work(app: FastAPI) -> AsyncIterator[None]:
    """While the application runs, what was ordered is carried out."""
    desk: Desk = app.state.desk
    await to_thread.run_sync(desk.start)
    yield
    await to_thread.run_sync(desk.close)


Desks = Annotated[Desk, Depends(desk_of)]
