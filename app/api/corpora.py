"""Routes of the passes over corpora: which there are, and the files of their atlas."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from app.api.dependencies import Analyses
from app.api.downloads import LINKED, lent
from app.api.problem import documented
from app.corpus.atlases import atlas_of
from app.corpus.library import Pass, PassNotFoundError, Status
from app.figures.atlas.report import report_figures
from app.recording import atlas_files, pass_content
from app.recording.atlas_report import report
from app.recording.base import RunNotFoundError
from app.recording.files import media_type

_FILES = (*atlas_files.NAMES, pass_content.REPORT)

corpora = APIRouter(prefix="/api/v1/corpora", tags=["corpora"])


class Place(BaseModel):
    """A line of a file, from 1; of Parquet a row."""

    file: str
    line: int


class Skipped(BaseModel):
    """Rows that were left out for one reason, and the first of them."""

    reason: str
    count: int
    examples: list[Place]


class Corpus(BaseModel):
    """A pass over a corpus, and how far it is."""

    id: str
    run_id: str | None = Field(description="The run that it became, once it is recorded")
    name: str
    model: str
    revision: str = Field(description="Of the model's weights; empty until the pass begins")
    documents: int = Field(description="Counted so far")
    tokens: int = Field(description="Counted so far")
    counted: bool = Field(description="Whether there is an atlas already")
    finished: bool
    status: Status
    detail: str = Field(description="Why it failed, or could not be recorded")
    done: int = Field(description="Bytes read")
    size: int = Field(description="Bytes of the files")
    cut: int = Field(description="Documents of which only the beginning was read")
    skipped: int
    skips: list[Skipped]
    speed: float = Field(description="Tokens per second of work")
    left: float | None = Field(description="Seconds to go, once that can be told")
    labels: list[str] = Field(description="The columns that experts are compared by")
    created: datetime
    url: str = Field(description="The page of its experts")


class Corpora(BaseModel):
    """Passes, the newest first."""

    corpora: list[Corpus]


@corpora.get("", response_model=Corpora, responses=documented(422))
def passes(
    analyst: Analyses,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    model: str | None = None,
    revision: Annotated[str | None, Query(description="Of the model's weights")] = None,
    finished: Annotated[bool, Query(description="Leave out those that go on")] = False,
) -> dict[str, Any]:
    """The passes over corpora, the newest first, unfinished ones too."""
    found = [
        one
        for one in analyst.library.passes()
        if model in (None, one.about.order.model)
        and revision in (None, one.about.model.get("revision"))
        and (one.state.finished or not finished)
    ]
    return {"corpora": [line(one, request) for one in found[:limit]]}


@corpora.get(
    "/{id}/{file}",
    response_class=Response,
    responses={
        200: {
            "content": {media_type(name): {} for name in _FILES},
            "description": "The file, as attachment",
        },
        **LINKED,
        **documented(404, 422, 503),
    },
)
def atlas_file(
    analyst: Analyses,
    id: str,  # noqa: A002
    file: Annotated[str, InPath(json_schema_extra={"enum": list(_FILES)})],
) -> Response:
    """A file of the atlas of a pass, by its id or that of its run, as far as it has counted.

    `atlas` has a row per layer and expert, `labels` per layer, expert and label value, `tokens`
    per layer, expert and token; layers count from 0. `report.html` opens offline. Of a pass
    whose counts were removed from this server, its run has the CSVs and the report.
    """
    if file not in _FILES:
        raise RunNotFoundError("an atlas has no such file")
    try:
        found = analyst.library.find(id)
        atlas = atlas_of(analyst.library, found)
    except PassNotFoundError as error:
        if file not in pass_content.FILES:
            raise RunNotFoundError(str(error)) from None
        return lent(analyst.recorder, id, f"{pass_content.ATLAS}/{file}")
    except FileNotFoundError:
        raise RunNotFoundError("this pass has counted nothing yet") from None
    if file == pass_content.REPORT:
        content = report(atlas, found, report_figures)
    else:
        content = atlas_files.content(atlas, file)
    stem, _, ending = file.partition(".")
    name = f"{stem}-{found.about.id[:8]}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type(file))


def line(found: Pass, request: Request) -> dict[str, Any]:
    """A pass as the list has it."""
    order, progress = found.about.order, found.progress
    skips = found.state.skips
    return {
        "id": found.about.id,
        "run_id": found.run_id,
        "name": order.name,
        "model": order.model,
        "revision": str(found.about.model.get("revision", "")),
        "documents": progress.documents,
        "tokens": progress.tokens,
        "counted": found.state.number > 0,
        "finished": found.state.finished,
        "status": found.status,
        "detail": found.detail,
        "done": progress.done,
        "size": progress.size,
        "cut": progress.cut,
        "skipped": skips.total,
        "skips": [
            {
                "reason": reason,
                "count": count,
                "examples": [
                    {"file": one.file, "line": one.line} for one in skips.examples[reason]
                ],
            }
            for reason, count in skips.counts.items()
        ],
        "speed": progress.speed,
        "left": None if found.state.finished else progress.left,
        "labels": list(order.labels),
        "created": found.about.created,
        "url": f"{request.base_url}experts?run={found.about.id}",
    }
