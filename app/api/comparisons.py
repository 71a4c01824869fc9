"""Routes that compare: a version with the champion, and a router with what explains it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Analyses
from app.api.desks import Desks
from app.api.problem import documented
from app.api.servings import Servings
from app.challenge import challenge
from app.surfaces import guess

comparisons = APIRouter(prefix="/api/v1")


class Compared(BaseModel):
    """Two versions on the rows that the challenger's training held out. The champion may have
    been trained on some of them, if the two tables share rows."""

    champion: int
    challenger: int
    rows: int
    champion_metrics: dict[str, float]
    challenger_metrics: dict[str, float]
    better: float = Field(
        description="By how much the challenger's mean loss is below the champion's: log loss in "
        "nats, or the mean absolute error"
    )
    better_low: float = Field(description="The 95 % interval of that")
    better_high: float


class Text(BaseModel):
    """A text to route."""

    model_config = ConfigDict(extra="forbid")

    text: str
    labels: dict[str, str] = Field(
        {}, max_length=100, description="The text's, by column of the corpus; others are missing"
    )


class Layer(BaseModel):
    """One router layer, a value for each token."""

    layer: int
    name: str
    training: str
    true: list[str] = Field(description="The first expert that the router chose")
    predicted: list[str]
    probability: list[float] = Field(description="Given to the true one")


class Guessed(BaseModel):
    """A text's routing beside what its surface tells of it."""

    tokens: list[str]
    layers: list[Layer]


@comparisons.get(
    "/models/{name}/comparison",
    response_model=Compared,
    responses=documented(404, 422, 503),
    tags=["predictions"],
)
def compare(
    name: str,
    serving: Servings,
    desk: Desks,
    version: Annotated[int, Query(ge=1, description="The challenger")],
) -> dict[str, Any]:
    """A version beside the champion, on the same rows."""
    found = challenge(serving, desk.library, desk.data, name, version)
    before, after = found.metrics
    return {
        "champion": found.champion,
        "challenger": found.challenger,
        "rows": found.rows,
        "champion_metrics": dict(before),
        "challenger_metrics": dict(after),
        **found.difference,
    }


@comparisons.post(
    "/trainings/{id}/sentence",
    response_model=Guessed,
    responses=documented(404, 413, 422, 503),
    tags=["trainings"],
)
def sentence(id: str, body: Text, analyst: Analyses, desk: Desks) -> dict[str, Any]:  # noqa: A002
    """For a router that was explained: which expert each token of a text goes to, and which one
    its surface tells."""
    found = guess(analyst, desk.library, desk.data, id, body.text, body.labels)
    return {"tokens": list(found.tokens), "layers": [vars(each) for each in found.layers]}
