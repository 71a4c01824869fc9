"""Routes that begin trainings, tell how far they are, and end them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.desks import Desks, at_work
from app.api.problem import documented
from app.api.training_lines import Line, Whole, line, whole
from app.automl.order import Order
from app.desk import Use
from app.figures.theme import THEMES
from app.figures.trainings.explained import explained_figure
from app.figures.trainings.recorded import training_figures
from app.recording.base import RunNotFoundError
from app.surfaces import explained
from app.tables.recipe import Missing, Task, Unknown

_MOST_SECONDS = 7 * 24 * 3600
_MOST_MODELS = 1000
_LAST_SEED = 2**31 - 1

trainings = APIRouter(prefix="/api/v1/trainings", tags=["trainings"], lifespan=at_work)


class Asked(BaseModel):
    """A training to begin. Without `seconds` and `models` it takes five minutes."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(description="The id of a table")
    target: str = Field(description="The column to predict")
    task: Task | None = Field(None, description="Guessed otherwise")
    uses: dict[str, Use] = Field(
        {}, description="What a column is to be, where that is not as guessed"
    )
    missing: Missing = Field("keep", description="What becomes of missing values")
    unknown: Unknown = Field("missing", description="What becomes of values not seen before")
    most_levels: int | None = Field(
        None, ge=1, le=10_000, description="Of a category, rarer are one; 1000, 200 for a router"
    )
    least_rows: int = Field(1, ge=1, description="That a level of a category needs to be kept")
    metric: str = Field("", max_length=100, description="To rank by; the task's usual otherwise")
    seconds: int = Field(0, ge=0, le=_MOST_SECONDS, description="Train so long; 0: no limit")
    models: int = Field(0, ge=0, le=_MOST_MODELS, description="Train so many; 0: no limit")
    seed: int = Field(1, ge=0, le=_LAST_SEED)
    name: str = Field("", max_length=200)
    follows: str = Field("", max_length=100, description="The training that this one renews")


class Trainings(BaseModel):
    """Trainings, the newest first. `refusal`: why none can be begun; null where one can."""

    trainings: list[Line]
    refusal: str | None


@trainings.get("", response_model=Trainings, responses=documented(422))
def all_(
    desk: Desks, request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """The trainings, the newest first."""
    found = desk.library.all()[:limit]
    return {"trainings": [line(one, request) for one in found], "refusal": desk.refusal()}


@trainings.post("", status_code=202, response_model=Line, responses=documented(422, 503))
def begin(body: Asked, desk: Desks, request: Request) -> dict[str, Any]:
    """Begins a training; it waits until those before it are done."""
    desk.check()
    plan = desk.plan(body.table, body.target, body.task, body.uses)
    order = Order(
        source={},
        target=body.target,
        name=body.name.strip() or desk.describe(body.table).name.partition(".")[0],
        metric=body.metric,
        seconds=body.seconds,
        models=body.models,
        seed=body.seed,
        follows=body.follows,
    )
    prepared = plan.prepared(body.missing, body.unknown, body.most_levels, body.least_rows)
    return line(desk.submit(body.table, order, prepared), request)


@trainings.get("/{id}", response_model=Whole, responses=documented(404))
def one(id: str, desk: Desks, request: Request) -> dict[str, Any]:  # noqa: A002
    """A training, by its id or that of its run."""
    return whole(desk.library.find(id), request)


@trainings.post("/{id}/stop", response_model=Line, responses=documented(404))
def stop(id: str, desk: Desks, request: Request) -> dict[str, Any]:  # noqa: A002
    """Ends a training with the models that there are, and keeps the best."""
    found = desk.library.find(id)
    desk.library.want(found.id, "stop")
    return line(desk.library.find(found.id), request)


@trainings.post("/{id}/cancel", response_model=Line, responses=documented(404))
def cancel(id: str, desk: Desks, request: Request) -> dict[str, Any]:  # noqa: A002
    """Ends a training without any model."""
    found = desk.library.find(id)
    desk.library.want(found.id, "cancel")
    return line(desk.library.find(found.id), request)


@trainings.post("/{id}/again", response_model=Line, responses=documented(404, 503))
def again(id: str, desk: Desks, request: Request) -> dict[str, Any]:  # noqa: A002
    """Begins a training anew that was broken off, stopped or failed."""
    found = desk.library.find(id)
    desk.again(found.id)
    return line(desk.library.find(found.id), request)


@trainings.delete("/{id}", status_code=204, responses=documented(404))
def remove(id: str, desk: Desks) -> None:  # noqa: A002
    """Removes a training with its models here; its run and its version stay."""
    desk.remove(id)


@trainings.get("/{id}/figures", responses=documented(404))
def figures(
    id: str,  # noqa: A002
    desk: Desks,
    theme: Literal["light", "dark"] = "light",
) -> dict[str, Any]:
    """Confusion matrix or residuals, and variable importance, as Plotly figures by name; for a
    router, `explained` has all layers of its pass."""
    found = desk.library.find(id)
    try:
        holdout = desk.library.holdout(found.id)
    except FileNotFoundError:
        raise RunNotFoundError("this training has no result yet") from None
    drawn = training_figures(found, holdout, THEMES[theme])
    pass_ = found.order.source.get("pass")
    if layers := explained(desk.library, pass_) if pass_ else []:
        drawn["explained"] = explained_figure(layers, THEMES[theme])
    return drawn
