"""Routes that tell how registered models do: requests, drift, and quality by labels."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from app.api.problem import documented
from app.api.row_bodies import csv_rows, documented_body, is_csv, parsed
from app.api.servings import Servings, chosen_of
from app.serving.notes import LATENCIES, Tally
from app.serving.serving import MOST_ROWS, Serving, TooManyRowsError
from app.serving.watching import Drifted
from app.tables.drift import Verdict
from app.tables.errors import TableError

_MOST_DAYS = 3660
_LABELS_CSV = "id,truth\n0123456789abcdef-0,setosa\n"

watched = APIRouter(prefix="/api/v1/models", tags=["predictions"])

Alias = Annotated[str | None, Query(max_length=100, description="`champion` if left out")]
Number = Annotated[int | None, Query(ge=1, description="Instead of an alias")]
Days = Annotated[int, Query(ge=1, le=_MOST_DAYS, description="So many, today's the last, in UTC")]


class Day(BaseModel):
    """What was asked on a day in UTC."""

    day: str
    requests: int
    rows: int = Field(description="That were answered")
    refused: int = Field(description="Requests whose rows were not as the schema says")
    failed: int
    seconds: float = Field(description="That all requests took together")
    latencies: list[int] = Field(description="Requests by `bins`; one more for those above")


class Traffic(BaseModel):
    """Requests to a version."""

    version: int
    requests: int
    rows: int
    refused: int
    failed: int
    median_ms: float | None = Field(
        description="End of the bin that it is in; null without requests, or above all bins"
    )
    p95_ms: float | None
    bins: list[int] = Field(description="Ends of the bins of latencies, in milliseconds")
    days: list[Day]


class DriftOf(BaseModel):
    """How far values are from those of the training."""

    name: str = Field(description="Of the column; empty for the predictions")
    kind: Literal["number", "category"]
    psi: float | None = Field(description="Population stability index; null without rows")
    jensen_shannon: float | None = Field(description="Divergence in bits, 0 to 1")
    chance: float | None = Field(description="What the PSI stays below by chance, in 95 %")
    verdict: Verdict
    rows: int
    bins: list[str]
    training: list[int] = Field(description="Rows in each bin")
    now: list[int]


class DriftFound(BaseModel):
    """Drift of what a version is asked and of what it answers. The predictions are compared
    with those for the rows that were held out of the training."""

    version: int
    features: list[DriftOf]
    predictions: DriftOf


class Label(BaseModel):
    """The truth of a row that was answered: a class, or a number."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=100)
    truth: StrictStr | StrictInt | StrictFloat | StrictBool | None


class Labels(BaseModel):
    """What turned out to be true. A second label of a row takes the place of the first."""

    model_config = ConfigDict(extra="forbid")

    labels: list[Label] = Field(max_length=MOST_ROWS)


class Labelled(BaseModel):
    """What came of labels."""

    known: int = Field(description="Of rows that are kept here")
    unknown: int


class QualityOf(BaseModel):
    """How good a version was on rows whose truth is known by now."""

    version: int
    kept: int = Field(description="Answered rows that are kept, the latest")
    labelled: int
    metrics: dict[str, float] = Field(description="Empty without labels; `_low` and `_high`: 95 %")
    holdout: dict[str, float] = Field(description="The same on the rows held out of the training")
    baseline: dict[str, float]


@watched.get("/{name}/traffic", response_model=Traffic, responses=documented(404, 422, 503))
def traffic(
    name: str, serving: Servings, alias: Alias = None, version: Number = None, days: Days = 30
) -> dict[str, Any]:
    """Requests to a version: how many, how fast, how many refused."""
    found, by_day = serving.traffic(name, chosen_of(alias, version), days)
    whole = sum(by_day.values(), Tally())
    return {
        "version": found.version,
        **_counts(whole),
        "median_ms": _finite(whole.latency(0.5)),
        "p95_ms": _finite(whole.latency(0.95)),
        "bins": list(LATENCIES),
        "days": [
            {
                "day": day,
                **_counts(each),
                "seconds": each.seconds,
                "latencies": each.latencies.tolist(),
            }
            for day, each in by_day.items()
        ],
    }


@watched.get("/{name}/drift", response_model=DriftFound, responses=documented(404, 422, 503))
def drift(
    name: str, serving: Servings, alias: Alias = None, version: Number = None, days: Days = 7
) -> dict[str, Any]:
    """How far what a version was asked in the last days is from its training."""
    served, found = serving.drift(name, chosen_of(alias, version), days)
    *features, answered = [_drift(each) for each in found]
    return {
        "version": served.version.version,
        "features": features,
        "predictions": answered,
    }


@watched.post(
    "/{name}/labels",
    response_model=Labelled,
    responses=documented(404, 413, 415, 422, 503),
    openapi_extra=documented_body(Labels, _LABELS_CSV),
)
async def label(name: str, request: Request, serving: Servings) -> dict[str, Any]:
    """Tells what turned out to be true of rows that were answered, by their ids: as JSON, or as
    CSV with the columns `id` and `truth`."""
    body = await request.body()
    if is_csv(request):
        return await to_thread.run_sync(_labelled_by_csv, serving, name, body)
    told = {each.id: each.truth for each in parsed(body, Labels).labels}
    return await to_thread.run_sync(_labelled, serving, name, told)


@watched.get("/{name}/quality", response_model=QualityOf, responses=documented(404, 422, 503))
def quality(
    name: str, serving: Servings, alias: Alias = None, version: Number = None
) -> dict[str, Any]:
    """How good a version was on rows whose truth is known by now, beside its hold-out."""
    found = serving.quality(name, chosen_of(alias, version))
    return {
        "version": found.version.version,
        "kept": found.kept,
        "labelled": found.labelled,
        "metrics": dict(found.metrics),
        "holdout": dict(found.version.metrics),
        "baseline": dict(found.version.baseline),
    }


def _counts(found: Tally) -> dict[str, int]:
    return {
        "requests": found.requests,
        "rows": found.rows,
        "refused": found.refused,
        "failed": found.failed,
    }


def _drift(found: Drifted) -> dict[str, Any]:
    its = found.drift
    return {
        "name": found.name,
        "kind": found.kind,
        "psi": _finite(its.psi),
        "jensen_shannon": _finite(its.jensen_shannon),
        "chance": _finite(its.chance),
        "verdict": its.verdict,
        "rows": its.rows,
        "bins": list(found.titles),
        "training": found.training.tolist(),
        "now": found.now.tolist(),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _labelled_by_csv(serving: Serving, name: str, body: bytes) -> dict[str, Any]:
    rows = csv_rows(body, MOST_ROWS).rows
    if len(rows) > MOST_ROWS:
        raise TooManyRowsError(f"more than {MOST_ROWS:,} labels at once")
    if not {"id", "truth"} <= rows[0].keys():
        raise TableError("labels are a CSV with the columns «id» and «truth»")
    told = {str(row["id"]): row["truth"] for row in rows}
    return _labelled(serving, name, told)


def _labelled(serving: Serving, name: str, told: dict[str, Any]) -> dict[str, Any]:
    known = serving.label(name, told)
    return {"known": known, "unknown": len(told) - known}
