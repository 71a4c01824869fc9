"""Routes of the tables that models are trained on: files that are handed in, and the tokens of
passes over corpora."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pandas as pd
from anyio import to_thread
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from app.api.corpora import Skipped
from app.api.desks import Desks
from app.api.paths import TABLES
from app.api.problem import documented
from app.desk import Described, Plan
from app.tables.cells import level
from app.tables.columns import Kind
from app.tables.errors import TableError
from app.tables.personal import Personal
from app.tables.recipe import Task
from app.tables.targets import TaskKind

_PREVIEW_ROWS, _PREVIEW_CHARACTERS = 8, 100

tables = APIRouter(prefix=TABLES, tags=["trainings"])


class Column(BaseModel):
    """A column as it was found."""

    name: str
    kind: Kind
    missing: int
    distinct: int
    examples: list[str]
    personal: Personal | None = Field(description="What it looks like, if it tells about persons")
    low: float | None
    high: float | None


class Table(BaseModel):
    """A table to learn from."""

    id: str
    name: str
    rows: int
    columns: list[Column]
    skipped: int
    skips: list[Skipped]
    unread: dict[str, str] = Field(description="Columns that are left out, and why")
    target: str | None = Field(description="The only column worth predicting; null for a choice")
    preview: list[dict[str, str]] = Field(description="The first rows, values cut")


class Layer(BaseModel):
    """A router layer of a pass; `table` is the id of its tokens' table."""

    table: str
    name: str
    stack: str
    block: int
    experts: int


class Router(BaseModel):
    """A pass whose routing can be explained."""

    id: str
    name: str
    model: str
    tokens: int
    layers: list[Layer]


class Routers(BaseModel):
    """Passes that kept every token's routing, the newest first."""

    routers: list[Router]


class Class(BaseModel):
    """A value of the target, and how many rows have it."""

    name: str
    rows: int


class Planned(BaseModel):
    """What would be learnt. Nothing can be as long as there are problems."""

    target: str
    task: Task
    kind: TaskKind
    rows: int = Field(description="Those whose target is known")
    missing: int
    classes: list[Class]
    problems: list[str]
    notes: list[str]
    features: dict[str, Literal["number", "category"]]
    dropped: dict[str, str] = Field(description="Columns that are not learnt from, and why")
    metrics: list[str] = Field(description="What models can be ranked by, the usual one first")


@tables.post(
    "",
    status_code=201,
    response_model=Table,
    responses=documented(413, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
)
async def hand_in(
    request: Request,
    desk: Desks,
    name: Annotated[str, Query(min_length=1, max_length=500, description="The file's name")],
) -> dict[str, Any]:
    """Hands in a table: the body is the file, CSV or Parquet, perhaps gzipped."""
    await to_thread.run_sync(desk.check)
    id_ = await desk.uploads.receive(name, request.stream())
    try:
        return _plain(await to_thread.run_sync(desk.describe, id_))
    except TableError:
        desk.uploads.discard(id_)
        raise


@tables.get("", response_model=Routers)
def routers(desk: Desks) -> dict[str, Any]:
    """The passes over corpora whose routing can be explained, with their layers."""
    return {
        "routers": [
            {
                "id": one.about.id,
                "name": one.about.order.name,
                "model": one.about.order.model,
                "tokens": one.progress.tokens,
                "layers": desk.layers(one),
            }
            for one in desk.routers()
        ]
    }


@tables.get("/{id}", response_model=Table, responses=documented(422, 503))
def table(id: str, desk: Desks) -> dict[str, Any]:  # noqa: A002
    """What a table holds, by the id of its upload or of a pass' layer."""
    return _plain(desk.describe(id))


@tables.get("/{id}/plan", response_model=Planned, responses=documented(422, 503))
def plan(id: str, desk: Desks, target: str, task: Task | None = None) -> dict[str, Any]:  # noqa: A002
    """What would be learnt of a target, and what stands against it; the task is guessed
    unless it is given."""
    return _planned(desk.plan(id, target, task))


def _plain(found: Described) -> dict[str, Any]:
    frame, skipped = found.table.frame, found.table.skipped
    return {
        "id": found.id,
        "name": found.name,
        "rows": len(frame),
        "columns": [column.plain() for column in found.columns],
        "skipped": skipped.total,
        "skips": [
            {
                "reason": reason,
                "count": count,
                "examples": [each._asdict() for each in skipped.examples[reason]],
            }
            for reason, count in skipped.counts.items()
        ],
        "unread": dict(found.table.unread),
        "target": found.target,
        "preview": _preview(frame),
    }


def _preview(frame: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            str(name): "" if pd.isna(value) else level(value)[:_PREVIEW_CHARACTERS]
            for name, value in row.items()
        }
        for row in frame.head(_PREVIEW_ROWS).to_dict("records")
    ]


def _planned(found: Plan) -> dict[str, Any]:
    target = found.target
    return {
        "target": target.name,
        "task": target.task,
        "kind": target.kind,
        "rows": target.rows,
        "missing": target.missing,
        "classes": [{"name": name, "rows": rows} for name, rows in target.classes],
        "problems": list(target.problems),
        "notes": list(target.notes),
        "features": dict(found.recipe.features),
        "dropped": dict(found.recipe.dropped),
        "metrics": list(found.metrics),
    }
