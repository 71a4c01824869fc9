"""Routes of the registered models: which there are, and which version answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from app.api.problem import documented
from app.api.servings import Servings
from app.recording.registered import Action, Registered, Role

predictors = APIRouter(prefix="/api/v1", tags=["predictions"])


class VersionOf(BaseModel):
    """A version of a model."""

    version: int
    role: Role = Field(
        description="`challenger`: the latest that is not promoted yet; `former`: it was champion"
    )
    created: datetime
    run_id: str
    training: str = Field(description="Id of the training that it is from")
    family: str
    metrics: dict[str, float] = Field(description="On rows that took no part in its training")
    baseline: dict[str, float] = Field(description="Of a model that knows their target alone")


class EventOf(BaseModel):
    """What happened to a version."""

    time: datetime
    action: Action
    version: int


class Predictor(BaseModel):
    """A registered model, its versions with the newest first."""

    name: str
    task: str
    target: str
    champion: int | None = Field(description="The version that answers")
    challenger: int | None
    previous: int | None = Field(description="The version that a roll back leads to")
    versions: list[VersionOf]
    events: list[EventOf] = Field(description="The last first")


class Predictors(BaseModel):
    """The registered models by name."""

    predictors: list[Predictor]


class Chosen(BaseModel):
    """A version of the model."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": 2}]})

    version: StrictInt = Field(ge=1)


@predictors.get("/predictors", response_model=Predictors, responses=documented(503))
def all_(serving: Servings) -> dict[str, Any]:
    """The models that were trained here and registered."""
    return {"predictors": [_line(each) for each in serving.registry.models()]}


@predictors.get("/predictors/{name}", response_model=Predictor, responses=documented(404, 503))
def one(name: str, serving: Servings) -> dict[str, Any]:
    """One of them."""
    return _line(serving.registry.model(name))


@predictors.post(
    "/models/{name}/promote", response_model=Predictor, responses=documented(403, 404, 422, 503)
)
def promote(name: str, body: Chosen, serving: Servings) -> dict[str, Any]:
    """Makes a version the champion, which answers from then on."""
    serving.check_changeable()
    return _line(serving.promote(name, body.version))


@predictors.post(
    "/models/{name}/rollback", response_model=Predictor, responses=documented(403, 404, 422, 503)
)
def roll_back(name: str, serving: Servings) -> dict[str, Any]:
    """Makes the champion before this one the champion again."""
    serving.check_changeable()
    return _line(serving.roll_back(name))


@predictors.post(
    "/models/{name}/retire", response_model=Predictor, responses=documented(403, 404, 422, 503)
)
def retire(name: str, body: Chosen, serving: Servings) -> dict[str, Any]:
    """Takes a version out of service for good. Without a champion a model answers no more until
    another version is promoted."""
    serving.check_changeable()
    return _line(serving.retire(name, body.version))


def _line(found: Registered) -> dict[str, Any]:
    newest = found.versions[0] if found.versions else None
    return {
        "name": found.name,
        "task": newest.task if newest else "",
        "target": newest.target if newest else "",
        "champion": found.champion,
        "challenger": found.challenger,
        "previous": found.previous,
        "versions": [vars(each) for each in found.versions],
        "events": [vars(each) for each in found.events],
    }
