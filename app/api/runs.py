"""Routes of the history: listing, renaming, tagging, deleting; and how recording goes on."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from app.api import schemas
from app.api.dependencies import Analyses
from app.api.paths import run_url
from app.api.problem import documented
from app.recording import base
from app.recording.base import SORTS, UNDO_SECONDS, RunNotFoundError, RunSummary

_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)

history = APIRouter(prefix="/api/v1/runs", tags=["runs"])
store = APIRouter(prefix="/api/v1/store", tags=["store"])

Text = Annotated[str, Query(max_length=500)]
Day = Annotated[date | None, Query(ge=_FIRST_DAY, le=_LAST_DAY, description="A day in UTC")]


@history.get("", response_model=schemas.Runs, responses=documented(422, 503))
def runs(
    analyst: Analyses,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    model: Text = "",
    q: Annotated[str, Query(max_length=250, description="Part of the text or name")] = "",
    stack: Literal["", "encoder", "decoder"] = "",
    tag: Annotated[str, Query(max_length=500, description="A whole tag")] = "",
    since: Day = None,
    until: Day = None,
    sort: Annotated[str, Query(json_schema_extra={"enum": list(SORTS)})] = "created",
    order: Literal["asc", "desc"] = "desc",
    kind: Annotated[
        Literal["", "analysis", "corpus"], Query(description="Texts, or passes over corpora")
    ] = "",
) -> dict[str, Any]:
    """The recorded runs, newest first unless sorted by a metric; waiting ones before them.

    Analyses of texts and passes over corpora, see `kind`.
    A page may be short while more follow. While the store is down, `notice` says so and
    only the runs that were recorded from here are listed. `since` and `until` are inclusive.
    """
    query = base.Query(q, model, stack, tag, since, until, sort, order == "desc", kind)
    page = analyst.recorder.history(limit, cursor, query)
    return {
        "runs": [_line(summary, request) for summary in page.runs],
        "next": page.next,
        "notice": page.notice,
    }


@history.patch("/{run_id}", response_model=schemas.Run, responses=documented(404, 422, 503))
def change(
    run_id: str, body: schemas.RunChange, analyst: Analyses, request: Request
) -> dict[str, Any]:
    """Renames a recorded run, gives it tags and takes some away. Gives its line of the list.

    An empty name is the text's beginning again. Nothing is changed if any of it is wrong.
    """
    recorder = analyst.recorder
    if body.add_tags or body.remove_tags:
        recorder.tag(run_id, body.add_tags, body.remove_tags)
    if body.name is not None:
        recorder.rename(run_id, body.name)
    return _line(recorder.summary(run_id), request)


@history.delete(
    "/{run_id}",
    status_code=202,
    response_model=schemas.Deletion,
    responses=documented(404, 503),
)
def delete(run_id: str, analyst: Analyses) -> dict[str, Any]:
    """Deletes a run with its files. It is gone at once, and can be restored for some seconds."""
    analyst.recorder.receipt(run_id)
    analyst.recorder.delete([run_id])
    return {"run_id": run_id, "undo_seconds": UNDO_SECONDS}


@history.post("/{run_id}/restore", response_model=schemas.Restored, responses=documented(404, 503))
def restore(run_id: str, analyst: Analyses) -> dict[str, Any]:
    """Undoes a deletion that is not carried out yet."""
    if not analyst.recorder.restore([run_id]):
        raise RunNotFoundError("nothing can be restored: the run is gone, or was not deleted")
    return {"run_id": run_id}


@store.get("", response_model=schemas.Store, responses=documented(503))
def state(analyst: Analyses) -> dict[str, Any]:
    """How many analyses wait for the store, how many it refused, and why."""
    return dict(vars(analyst.recorder.state()))


@store.post("/retry", status_code=202, response_model=schemas.Store, responses=documented(503))
def retry(analyst: Analyses) -> dict[str, Any]:
    """Tries everything again that waits or was refused, at once."""
    analyst.recorder.retry()
    return dict(vars(analyst.recorder.state()))


def _line(summary: RunSummary, request: Request) -> dict[str, Any]:
    return {**vars(summary), "url": run_url(request, summary.run_id, summary.kind)}
