"""Routes that answer rows with registered models, and say what rows they take."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.paths import PREDICT
from app.api.problem import SchemaProblem, documented
from app.api.row_bodies import JSON, csv_rows, documented_body, is_csv, parsed
from app.api.servings import Servings, chosen_of, noting
from app.serving.serving import Answers, Serving, most_rows
from app.tables.json_schema import example_row, row_schema
from app.tables.recipe import FeatureKind
from app.tables.targets import TaskKind

_EXAMPLE: dict[str, Any] = {"rows": [{"sepal length (cm)": 5.1, "colour": "red"}]}
_CSV = "sepal length (cm),colour\n5.1,red\n"

predictions = APIRouter(tags=["predictions"], lifespan=noting)

Alias = Annotated[str | None, Query(max_length=100, description="With CSV; `champion` if left out")]
Number = Annotated[int | None, Query(ge=1, description="With CSV, instead of an alias")]


class Question(BaseModel):
    """Rows to predict, by `alias` or `version` of the model, else by its champion."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    rows: list[Any] = Field(
        description="Objects with a value for each column of the model's schema; null where it "
        "is missing. Other columns are left out"
    )
    alias: str | None = Field(None, min_length=1, max_length=100)
    version: int | None = Field(None, ge=1)


class NamedQuestion(Question):
    """The same, with the name of the model."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "iris", **_EXAMPLE}]}
    )

    name: str = Field(min_length=1, description="One of `/api/v1/predictors`")


class Predictions(BaseModel):
    """The answers, in the order of the rows."""

    model: str
    version: int = Field(description="The one that answered")
    task: TaskKind
    predictions: list[str | float] = Field(
        description="Classes, or for a regression numbers. Of two classes the second is told from "
        "the probability on where it gave the best F1 in the training, not from one half on"
    )
    probabilities: list[dict[str, float]] = Field(
        description="Of each class; empty for a regression"
    )
    ids: list[str] = Field(description="What the truth of a row can be told by later")


class Column(BaseModel):
    """A column of the rows."""

    name: str
    kind: FeatureKind
    missing: bool = Field(description="Whether null is taken")
    typical: float | str | None
    low: float | None = Field(description="The least number of the training; lower ones are taken")
    high: float | None
    whole: bool = Field(description="Whether all numbers of the training were whole")
    levels: list[str] = Field(description="Of a category; empty where values are hashed")
    others: str = Field(description="What becomes of other levels: taken, missing or refused")
    spelt: bool = Field(description="Whether a number is a level too")


class SchemaOf(BaseModel):
    """What rows a model takes, and what it answers."""

    model: str
    version: int
    target: str
    task: TaskKind
    classes: list[str]
    fields: list[Column]
    row: dict[str, Any] = Field(description="JSON Schema of a row, for generating clients")
    example: dict[str, Any] = Field(description="A row of typical values")
    most_rows: int = Field(description="That are answered at once")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Predictions},
    **documented(404, 413, 415, 503),
    422: {"model": SchemaProblem, "description": "Rows that are not as the schema says"},
}


@predictions.post(
    "/api/v1/models/{name}/predict",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=documented_body(Question, _CSV),
)
async def predict(
    name: str, request: Request, serving: Servings, alias: Alias = None, version: Number = None
) -> Response:
    """Predicts rows, sent as JSON or as CSV.

    A 422 tells of the first offences row, column, what was expected and what was found; nothing
    is answered then. 503 while too many ask, and where Java or H2O are not installed.
    """
    body = await request.body()
    if is_csv(request):
        return await to_thread.run_sync(_of_csv, serving, name, body, chosen_of(alias, version))
    question = parsed(body, Question)
    return await to_thread.run_sync(_of_json, serving, name, question)


@predictions.post(
    PREDICT,
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=documented_body(NamedQuestion, _CSV),
)
async def predict_by_name(
    request: Request,
    serving: Servings,
    name: Annotated[str | None, Query(description="With CSV: of the model")] = None,
    alias: Alias = None,
    version: Number = None,
) -> Response:
    """The same as `/api/v1/models/{name}/predict`, with the model's name in the body."""
    body = await request.body()
    if is_csv(request):
        chosen = chosen_of(alias, version)
        return await to_thread.run_sync(_of_csv, serving, name or "", body, chosen)
    question = parsed(body, NamedQuestion)
    return await to_thread.run_sync(_of_json, serving, question.name, question)


@predictions.get(
    "/api/v1/models/{name}/schema",
    response_model=SchemaOf,
    responses=documented(404, 422, 503),
)
def schema(
    name: str,
    serving: Servings,
    alias: Annotated[str | None, Query(max_length=100)] = None,
    version: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """What rows a model takes, and what it answers."""
    served = serving.served(name, chosen_of(alias, version))
    found = served.predictor.schema
    return {
        "model": served.version.name,
        "version": served.version.version,
        **found.plain(),
        "row": row_schema(found),
        "example": example_row(found),
        "most_rows": most_rows(served.predictor),
    }


def _of_json(serving: Serving, name: str, question: Question) -> Response:
    chosen = chosen_of(question.alias, question.version)
    return _answer(serving.predict(name, question.rows, chosen))


def _of_csv(serving: Serving, name: str, body: bytes, chosen: str | int) -> Response:
    rows = csv_rows(body, most_rows(serving.served(name, chosen).predictor))
    return _answer(serving.predict(name, rows.rows, chosen, rows.commas))


def _answer(found: Answers) -> Response:
    # Many numbers that are known to be right: no model looks through them again.
    answer = {
        "model": found.version.name,
        "version": found.version.version,
        "task": found.served.predictor.columns.task,
        "predictions": found.predictions,
        "probabilities": found.probabilities(),
        "ids": found.ids,
    }
    return Response(orjson.dumps(answer), media_type=JSON)
