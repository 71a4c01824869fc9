"""Errors as `application/problem+json` (RFC 9457): one short line, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app.automl.java import AutomlMissingError
from app.automl.library import TrainingNotFoundError
from app.automl.mojo import ModelFileError
from app.automl.order import OrderError
from app.corpus.reading.source import SourceError
from app.corpus.uploads import UploadTooLargeError
from app.desk import TrainingRefusedError
from app.recording.base import InvalidQueryError, RecordingError, RunNotFoundError
from app.routing.errors import (
    BusyError,
    InvalidTaskError,
    InvalidTextError,
    ModelLoadError,
    ModelNotReadyError,
    TextTooLongError,
    UnknownModelError,
)
from app.serving.serving import ChangeRefusedError, TooManyRowsError
from app.tables.errors import SchemaError, TableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "5"}
# So soon there may be room in the queue again.
_RETRY_SOON = {"Retry-After": "1"}

_STATUS: dict[type[Exception], int] = {
    InvalidTextError: 422,
    InvalidTaskError: 422,
    UnknownModelError: 422,
    InvalidQueryError: 422,
    SourceError: 422,
    TableError: 422,
    OrderError: 422,
    TextTooLongError: 413,
    UploadTooLargeError: 413,
    TooManyRowsError: 413,
    ChangeRefusedError: 403,
    RunNotFoundError: 404,
    TrainingNotFoundError: 404,
    BusyError: 503,
    ModelNotReadyError: 503,
    ModelLoadError: 503,
    TrainingRefusedError: 503,
    AutomlMissingError: 503,
    ModelFileError: 503,
    RecordingError: 503,
}
_MOST_DETAIL = 300


class Problem(BaseModel):
    """Why a request was not answered."""

    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="One line", examples=["there is no such run"])


class Offence(BaseModel):
    """A value that is not as a model's schema says."""

    row: int = Field(description="From 1")
    column: str = Field(description="Empty for a whole row")
    expected: str = Field(examples=["a number or null"])
    found: str = Field(examples=["«abc»"])


class SchemaProblem(Problem):
    """Why rows were not predicted, or another reason for a 422 without `errors`."""

    errors: list[Offence] = Field([], description="The first of them, by row")
    total: int = Field(0, description="How many there are in all")


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer for an error."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=_one_line(detail))
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route, for the documentation."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses
    }


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""
    for kind in _STATUS:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(SchemaError, _schema)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unknown)


def _known(_request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return problem(status, str(error), _again(error))


def _schema(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SchemaError)
    errors = [Offence(**each._asdict()) for each in error.offences]
    body = SchemaProblem(
        title=HTTPStatus(422).phrase,
        status=422,
        detail=_one_line(str(error)),
        errors=errors,
        total=error.total,
    )
    return JSONResponse(body.model_dump(), 422, media_type=MEDIA_TYPE)


def _again(error: Exception) -> Mapping[str, str] | None:
    """When to ask again, where that alone can help."""
    if isinstance(error, BusyError):
        return _RETRY_SOON
    return RETRY_AFTER if isinstance(error, ModelNotReadyError) else None


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing at this address", 405: "the method does not exist here"}
    return problem(
        error.status_code, details.get(error.status_code, str(error.detail)), error.headers
    )


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    kind, place = str(first["type"]), [str(part) for part in first["loc"][1:]]
    if kind == "json_invalid":
        return problem(422, "the body is not valid JSON")
    if kind == "extra_forbidden":
        return problem(422, "the body has a field that is not known here")
    if kind == "string_unicode":
        return problem(422, f"{'.'.join(place)}: not valid text (half of a character)")
    if not place:
        return problem(422, "the body must be a JSON object, sent as application/json")
    return problem(422, f"{'.'.join(place)}: {first['msg']}")


def _unknown(_request: Request, _error: Exception) -> JSONResponse:
    # The error is raised again after this answer, so the server logs its traceback.
    return problem(500, "the server failed; its log tells why")


def _one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text[:_MOST_DETAIL])
    return line + ("…" if len(text) > _MOST_DETAIL else "")
