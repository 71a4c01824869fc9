"""Routes that hand in corpora, and begin, stop and remove passes over them."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.analysis import Analyst
from app.api.corpora import Corpus, line
from app.api.dependencies import Analyses
from app.api.paths import UPLOADS
from app.api.problem import documented
from app.corpus.library import PassNotFoundError
from app.corpus.order import Order
from app.corpus.reading import source
from app.corpus.reading.source import Selection
from app.corpus.state import id_of
from app.corpus.uploads import EXAMPLE, Uploads
from app.recording.base import RecordingError, RunNotFoundError

_EXAMPLE_NAME = "example corpus"

uploads = APIRouter(prefix=UPLOADS, tags=["corpora"])
passes = APIRouter(prefix="/api/v1/corpora", tags=["corpora"])


class Upload(BaseModel):
    """A file that was handed in: what it is, its columns, and guesses among them."""

    id: str
    name: str
    format: str
    encoding: str
    compressed: bool
    size: int = Field(description="Bytes")
    columns: list[str]
    text: str = Field(description="The column that most likely holds the text")
    labels: list[str] = Field(description="Columns that most likely hold labels")
    preview: list[dict[str, str]] = Field(description="The first rows, values cut")


class Asked(BaseModel):
    """A pass to begin."""

    model_config = ConfigDict(extra="forbid")

    upload: str = Field(description="The id of an upload, or `example`")
    text: str | None = Field(None, description="The column with the text; guessed otherwise")
    labels: list[str] | None = Field(None, description="Columns to compare by; guessed otherwise")
    model: str | None = None
    name: str = Field("", max_length=200)
    max_tokens: int | None = Field(None, ge=1, description="Tokens read of each document")
    tokens: bool = Field(False, description="Write every token's routing as well")


@uploads.post(
    "",
    status_code=201,
    response_model=Upload,
    responses=documented(413, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
)
async def upload(
    request: Request,
    analyst: Analyses,
    name: Annotated[str, Query(min_length=1, max_length=500, description="The file's name")],
) -> dict[str, Any]:
    """Hands in a corpus: the body is the file, plain text, CSV, JSON Lines or Parquet, perhaps
    gzipped. It streams to the disk."""
    id_ = await analyst.uploads.receive(name, request.stream())
    try:
        return await to_thread.run_sync(_described, analyst.uploads, id_)
    except source.SourceError:
        analyst.uploads.discard(id_)
        raise


@uploads.get("/{id}", response_model=Upload, responses=documented(422))
def uploaded(analyst: Analyses, id: str) -> dict[str, Any]:  # noqa: A002
    """What an upload holds; `example` is the corpus that comes with the app."""
    return _described(analyst.uploads, id)


@passes.post("", status_code=202, response_model=Corpus, responses=documented(422, 503))
def begin(body: Asked, analyst: Analyses, request: Request, response: Response) -> dict[str, Any]:
    """Begins a pass; 200 if there is one that was asked the same, which goes on.

    One whose run was deleted is recorded again.
    """
    model = body.model or analyst.registry.default
    analyst.registry.status(model)
    file = analyst.uploads.file(body.upload)
    guess = Selection.guess(source.describe(file))
    labels = guess.labels if body.labels is None else tuple(dict.fromkeys(body.labels))
    selection = Selection(body.text or guess.text, labels)
    corpus = source.Corpus([file], selection)
    order = Order(
        files=(str(file),),
        text=selection.text,
        labels=selection.labels,
        model=model,
        max_tokens=min(body.max_tokens or analyst.max_tokens, analyst.max_tokens),
        name=body.name.strip() or (_EXAMPLE_NAME if body.upload == EXAMPLE else file.name),
        tokens=body.tokens,
    )
    id_ = id_of(order)
    try:
        known = analyst.library.find(id_)
        response.status_code = 200
        if known.run_id and _is_deleted(analyst, known.run_id):
            analyst.library.unrecorded(id_)
    except PassNotFoundError:
        analyst.library.submit(id_, order, corpus.size)
    analyst.library.want(id_, "run")
    analyst.jobs.wake(id_)
    return line(analyst.library.find(id_), request)


@passes.post("/{id}/pause", response_model=Corpus, responses=documented(404))
def pause(id: str, analyst: Analyses, request: Request) -> dict[str, Any]:  # noqa: A002
    """Stops a pass after the batch in hand; what was counted stays."""
    found = _found(analyst, id)
    analyst.library.want(found, "pause")
    return line(analyst.library.find(found), request)


@passes.post("/{id}/resume", response_model=Corpus, responses=documented(404))
def resume(id: str, analyst: Analyses, request: Request) -> dict[str, Any]:  # noqa: A002
    """Goes on with a pass from where it was; it waits until those before it are done."""
    found = _found(analyst, id)
    analyst.library.want(found, "run")
    analyst.jobs.wake(found)
    return line(analyst.library.find(found), request)


@passes.delete("/{id}", status_code=204, responses=documented(404))
def remove(id: str, analyst: Analyses) -> None:  # noqa: A002
    """Cancels a pass and removes what it counted here; a run that it became stays.

    Its file is removed too if it was handed in and no other pass needs it.
    """
    found = analyst.library.find(_found(analyst, id)).about
    analyst.library.remove(found.id)
    needed = {name for one in analyst.library.passes() for name in one.about.order.files}
    for name in set(found.order.files) - needed:
        analyst.uploads.discard_file(name)


def _is_deleted(analyst: Analyst, run_id: str) -> bool:
    try:
        analyst.recorder.receipt(run_id)
    except RunNotFoundError:
        return True
    except RecordingError:
        # The store can't tell now.
        return False
    return False


def _described(files: Uploads, id_: str) -> dict[str, Any]:
    found = files.describe(id_)
    return {
        "id": id_,
        "name": _EXAMPLE_NAME if id_ == EXAMPLE else found.name,
        "format": found.format,
        "encoding": found.encoding,
        "compressed": found.compressed,
        "size": found.size,
        "columns": list(found.columns),
        "text": found.text,
        "labels": list(found.labels),
        "preview": [dict(row) for row in found.preview],
    }


def _found(analyst: Analyses, id_: str) -> str:
    try:
        return analyst.library.find(id_).about.id
    except PassNotFoundError as error:
        raise RunNotFoundError(str(error)) from None
