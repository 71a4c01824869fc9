"""Rows that people send: as JSON, or as CSV."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from app.corpus.reading.rows import BLANK_LINE
from app.tables.errors import TableError
from app.tables.reading import Table, read

CSV, JSON = "text/csv", "application/json"

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Rows:
    """Rows by the names of their columns; `commas` as in `Table`."""

    rows: list[Any]
    commas: bool = False


def is_csv(request: Request) -> bool:
    """Whether a request brings CSV; it brings JSON otherwise. Raises HTTPException (415) for
    what is neither."""
    told = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if told not in (CSV, JSON):
        raise HTTPException(415, f"rows come as {JSON} or {CSV}")
    return told == CSV


def parsed(body: bytes, kind: type[Body]) -> Body:
    """A body of JSON. Raises RequestValidationError."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",)}]) from None
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        told = [{**each, "loc": ("body", *each["loc"])} for each in errors]
        raise RequestValidationError(told) from None


def csv_rows(body: bytes, most: int) -> Rows:
    """The rows of a CSV with a header, at most one more than `most`. Raises TableError, also for
    a line that can't be read: it would have no answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(body)
        table = read(path, first=most + 1, raw=True)
    _check_whole(table)
    plain = table.frame.astype(object).where(table.frame.notna(), None)
    return Rows(plain.to_dict("records"), table.commas)


def _check_whole(table: Table) -> None:
    for reason, examples in table.skipped.examples.items():
        if reason != BLANK_LINE:
            raise TableError(f"line {examples[0].line} can't be read: {reason}")


def documented_body(kind: type[BaseModel], csv: str) -> dict[str, Any]:
    """`openapi_extra` of a route that takes JSON of a `kind`, or CSV such as this."""
    text = {"schema": {"type": "string", "description": "With a header"}, "example": csv}
    content = {JSON: {"schema": kind.model_json_schema()}, CSV: text}
    return {"requestBody": {"required": True, "content": content}}
