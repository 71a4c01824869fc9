"""A training as the API tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field

from app.automl.library import Status, Training
from app.automl.order import Leader as Led
from app.automl.order import Model, Stage

_TOLD = ("digest", "rows", "skipped", "training", "holdout", "notes")
_RECIPE = ("features", "dropped", "hashed", "group", "missing", "unknown")
_ROUTER = ("pass", "layer", "layer_name", "model")


class Leader(BaseModel):
    """A model on the leaderboard, with cross-validated metrics on the training's rows."""

    name: str
    family: str
    validation: dict[str, float]
    holdout: dict[str, float] = Field(description="On rows that took no part, once that is known")


class Failure(BaseModel):
    """A model that could not be trained."""

    model: str
    reason: str


class Importance(BaseModel):
    """How much worse the best model is on the hold-out with a column shuffled."""

    feature: str
    value: float
    deviation: float


class Line(BaseModel):
    """A training, and how far it is."""

    id: str
    name: str
    status: Status
    detail: str = Field(description="Why it failed, was broken off, or could not be recorded")
    created: datetime
    source: str = Field(description="The table's name")
    router: dict[str, Any] | None = Field(description="The pass and layer that it explains")
    target: str
    task: str = Field(description="Empty until it has read the table")
    metric: str
    stage: Stage
    seconds: float
    left: float | None
    now: str = Field(description="The model that is being trained")
    budget: dict[str, int]
    seed: int
    leaders: list[Leader]
    failures: list[Failure]
    run_id: str | None
    url: str


class Whole(Line):
    """A training with what is known of its rows, and what came of it."""

    table: dict[str, Any] = Field(description="Rows, those skipped, digest, preparation")
    baseline: dict[str, float] = Field(description="Of who knows the training's target alone")
    importance: list[Importance]
    versions: dict[str, str]
    stopped: bool


def line(found: Training, request: Request) -> dict[str, Any]:
    """A training as the list has it."""
    order, progress, result = found.order, found.progress, found.result
    router = "pass" in order.source
    return {
        "id": found.id,
        "name": order.name,
        "status": found.status,
        "detail": found.detail,
        "created": found.created,
        "source": order.source["name"],
        "router": {name: order.source[name] for name in _ROUTER} if router else None,
        "target": order.target,
        "task": result.columns.task if result else "",
        "metric": result.metric if result else order.metric,
        "stage": progress.stage,
        "seconds": progress.seconds,
        "left": progress.left,
        "now": progress.now,
        "budget": {"seconds": order.seconds, "models": order.models},
        "seed": order.seed,
        "leaders": _leaders(found),
        "failures": [vars(each) for each in (result or progress).failures],
        "run_id": found.run_id,
        "url": f"{request.base_url}predict?step=train&training={found.id}",
    }


def whole(found: Training, request: Request) -> dict[str, Any]:
    """A training with what is known of its rows, and what came of it."""
    about, result = found.table, found.result
    # One that was guessed is known once the table is read.
    recipe = found.order.recipe or about.get("fitted", {}).get("recipe", {})
    table = {name: about[name] for name in _TOLD if name in about}
    if "skipped" in table:
        table["skipped"] = sum(table["skipped"]["counts"].values())
    return line(found, request) | {
        "table": table | {name: recipe[name] for name in _RECIPE if name in recipe},
        "baseline": dict(result.baseline) if result else {},
        "importance": [vars(each) for each in result.importance] if result else [],
        "versions": dict(result.versions) if result else {},
        "stopped": bool(result and result.stopped),
    }


def _leaders(found: Training) -> list[dict[str, Any]]:
    """The models that are kept, then the others; until then those that there are."""
    if found.result is None:
        return [_leader(each, {}) for each in found.progress.leaders]
    kept, others = found.result.models, found.result.others
    return [
        *(_leader(each, each.holdout) for each in kept),
        *(_leader(each, {}) for each in others),
    ]


def _leader(model: Led | Model, holdout: Mapping[str, float]) -> dict[str, Any]:
    return {
        "name": model.name,
        "family": model.family,
        "validation": dict(model.validation),
        "holdout": dict(holdout),
    }
