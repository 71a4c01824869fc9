"""The routes: parse, ask the analyst, answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from app.analysis import Analyst
from app.api import schemas
from app.api.dependencies import Analyses, analyst_of
from app.api.paths import run_url
from app.api.problem import RETRY_AFTER, documented, problem
from app.recording.base import Receipt, RecordedRun
from app.recording.export import analysis_json
from app.routing.loaded import LoadedModel

# The default model is loaded at start: asking again is better than holding on. Another one
# is loaded because of this request, which is worth waiting for.
_DEFAULT_LOAD_SECONDS = 2.0
_OTHER_LOAD_SECONDS = 120.0
_RECORD_SECONDS = 5.0


health = APIRouter(tags=["health"])
api = APIRouter(prefix="/api/v1", tags=["analyses"])


@health.head("/healthz", include_in_schema=False)
@health.get("/healthz")
async def healthz() -> schemas.State:
    """200 while the process lives."""
    return schemas.State(status="alive")


@health.head("/readyz", include_in_schema=False, response_model=schemas.State)
@health.get("/readyz", response_model=schemas.State, responses=documented(503))
async def readyz(request: Request) -> schemas.State | JSONResponse:
    """200 once the default model answers, 503 before."""
    registry = analyst_of(request).registry
    status = registry.status(registry.default)
    if status.state == "ready":
        return schemas.State(status="ready")
    reason = f": {status.detail}" if status.detail else ""
    return problem(503, f"{registry.default} is {status.state}{reason}", RETRY_AFTER)


@api.get("/models", response_model=schemas.Models)
def models(analyst: Analyses) -> dict[str, Any]:
    """The models that may be chosen."""
    registry = analyst.registry
    return {
        "default": registry.default,
        "models": [_model_state(analyst, model_id) for model_id in registry.specs],
    }


@api.post(
    "/analyses",
    status_code=201,
    response_model=schemas.Analysis,
    responses={
        200: {"model": schemas.Analysis, "description": "With `record: false`"},
        **documented(413, 422, 503),
    },
)
def analyse(
    body: schemas.AnalysisRequest, analyst: Analyses, request: Request, response: Response
) -> dict[str, Any]:
    """Analyses a text and, unless told otherwise, records it as a run.

    The same text, model and settings give the same run while it exists. `status` is
    `pending` while it waits for the store, safe on the local disk; `run_id` and `url` open it
    already, and `detail` says why it waits if the store is down.
    A text with more tokens than the limit is refused with 413, nothing is cut off; so is a
    target. What the model can't do, and a setting out of range, is refused with 422. While
    too many wait already the answer is 503 with `Retry-After`.
    """
    default = body.model in (None, analyst.registry.default)
    wait = _DEFAULT_LOAD_SECONDS if default else _OTHER_LOAD_SECONDS
    trace = analyst.trace(body.task(), body.model, wait, patient=False)
    if not body.record:
        response.status_code = 200
        return analysis_json(trace)
    receipt = analyst.record(trace, body.force, _RECORD_SECONDS)
    return analysis_json(trace, receipt, run_url(request, receipt.run_id or receipt.id))


@api.get("/analyses/{run_id}", response_model=schemas.Analysis, responses=documented(404, 422, 503))
def analysis(run_id: str, analyst: Analyses, request: Request) -> dict[str, Any]:
    """A recorded analysis as it was kept; nothing is computed again."""
    run = analyst.recorded(run_id)
    url = run_url(request, run.summary.run_id)
    return analysis_json(run.trace, _receipt(run), url, run.mlflow_url)


@api.post(
    "/analyses/{run_id}/recompute",
    response_model=schemas.Reproduction,
    responses=documented(404, 413, 422, 503),
)
def recompute(run_id: str, analyst: Analyses) -> dict[str, Any]:
    """Runs the model again on a recorded analysis; says whether the result is the same to
    the bit, and what in the environment differs. Nothing is recorded."""
    return dict(vars(analyst.recompute(run_id, _OTHER_LOAD_SECONDS)))


def _model_state(analyst: Analyst, model_id: str) -> dict[str, Any]:
    status = analyst.registry.status(model_id)
    loaded = analyst.registry.loaded(model_id)
    sites = loaded.sites if loaded else ()
    return {
        "id": model_id,
        "loaded": loaded is not None,
        # It may have become ready between the two questions.
        "status": "ready" if loaded else status.state,
        "detail": "" if loaded else status.detail,
        "architecture": loaded.identity.architecture if loaded else None,
        "stacks": list(dict.fromkeys(site.stack for site in sites)) or None,
        "router_layers": len(sites) or None,
        "num_experts": max((site.num_experts for site in sites), default=None),
        "top_k": max((site.top_k for site in sites), default=None),
        "kind": loaded and _kind(loaded),
        "generates": loaded and loaded.generates,
        "score_functions": list(dict.fromkeys(site.score_function for site in sites)),
        "capacity": max((site.capacity for site in sites if site.capacity), default=None),
        "notes": list(loaded.notes) if loaded else [],
    }


def _kind(loaded: LoadedModel) -> str:
    if loaded.encoder_decoder:
        return "encoder-decoder"
    return f"{loaded.first}-only"


def _receipt(run: RecordedRun) -> Receipt:
    summary = run.summary
    return Receipt(summary.run_id, summary.run_id, summary.status, summary.detail)
