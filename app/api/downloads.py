"""Routes that give the files of recorded runs, one by one or many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from starlette.responses import FileResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from app.analysis import Analyst
from app.api.dependencies import Analyses
from app.api.problem import documented, problem
from app.recording import bundle, files
from app.recording.base import CorpusRunError, Recorder, RecordingError, RunNotFoundError
from app.recording.content import SUMS_FILE

MOST_RUNS = 200
_FIGURES = ("flow", "load", "tokens_by_layer", "measures")
_FILES = (*files.NAMES, SUMS_FILE)
_FORMATS = {"csv": ("zip", bundle.write_zip), "parquet": ("parquet", bundle.write_parquet)}
LINKED: dict[int | str, dict[str, Any]] = {
    307: {"description": "To a link to the store, where it is set to give them"}
}

run_files = APIRouter(prefix="/api/v1/analyses", tags=["files"])
exports = APIRouter(prefix="/api/v1/runs", tags=["files"])


class LentFile(FileResponse):
    """A file that goes away once it is sent, or its receiver has gone."""

    def __init__(self, path: Path, release: Callable[[], None], filename: str) -> None:
        super().__init__(path, media_type=files.media_type(path.name), filename=filename)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await to_thread.run_sync(self._release)


def _given(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that gives a file."""
    content: dict[str, Any] = {name: {} for name in media_types}
    return {200: {"content": content, "description": "The file, as attachment"}, **LINKED}


@run_files.get(
    "/{run_id}/routing.csv",
    response_class=Response,
    responses={**_given("text/csv"), **documented(404, 422, 503)},
)
def routing_csv(run_id: str, analyst: Analyses) -> Response:
    """The routing of a recorded analysis: one row per layer, token and expert."""
    return lent(analyst.recorder, run_id, "routing.csv")


@run_files.get(
    "/{run_id}/{file}",
    response_class=Response,
    responses={**_given(*dict.fromkeys(files.MEDIA_TYPES.values())), **documented(404, 422, 503)},
)
def run_file(
    run_id: str,
    file: Annotated[str, InPath(json_schema_extra={"enum": list(_FILES)})],
    analyst: Analyses,
) -> Response:
    """A file of a recorded analysis. The same numbers stand in CSV, Parquet and JSON.

    `target.txt` and `output.txt` exist where the decoder was forced or generated,
    `SHA256SUMS` once the run is in the store.
    """
    if file not in _FILES:
        raise RunNotFoundError("a run has no such file")
    return lent(analyst.recorder, run_id, file)


@run_files.get(
    "/{run_id}/figures/{file}",
    response_class=Response,
    responses={**_given("text/html", "application/json"), **documented(404, 422, 503)},
)
def run_figure(
    run_id: str,
    file: Annotated[
        str,
        InPath(
            json_schema_extra={
                "enum": [f"{name}.{ending}" for name in _FIGURES for ending in ("html", "json")]
            }
        ),
    ],
    analyst: Analyses,
) -> Response:
    """A figure of a recorded analysis, as a page that opens offline or as Plotly's JSON."""
    name, _, ending = file.rpartition(".")
    if name not in _FIGURES or ending not in ("html", "json"):
        raise RunNotFoundError("a run has no such figure")
    return lent(analyst.recorder, run_id, f"figures/{file}")


@exports.get(
    "/export",
    response_class=Response,
    responses={
        200: {
            "content": {"application/zip": {}, "application/vnd.apache.parquet": {}},
            "description": "With `csv` a zip of one CSV per run, else one Parquet file",
        },
        **documented(404, 422, 503),
    },
)
def export(
    analyst: Analyses,
    ids: Annotated[str, Query(description=f"Ids of runs with commas between, up to {MOST_RUNS}")],
    format: Annotated[Literal["csv", "parquet"], Query()] = "csv",  # noqa: A002
) -> Response:
    """The routing of several recorded analyses at once.

    The Parquet file has the columns of the CSV after `run_id` and `model`.
    """
    wanted = list(dict.fromkeys(part for each in ids.split(",") if (part := each.strip())))
    if not wanted:
        return problem(422, "ids: name at least one run")
    if len(wanted) > MOST_RUNS:
        return problem(422, f"ids: at most {MOST_RUNS} runs at once, not {len(wanted)}")
    ending, write = _FORMATS[format]
    with ExitStack() as stack:
        # Whole before the answer begins, so that one that can't be read is told.
        try:
            path = stack.enter_context(analyst.recorder.folder()) / f"routing.{ending}"
            write(path, _runs(analyst, wanted))
        except OSError as error:
            raise RecordingError(f"the runs can't be put together: {error.strerror}") from error
        return LentFile(path, stack.pop_all().close, f"routing-{len(wanted)}-runs.{ending}")


def _runs(analyst: Analyst, ids: list[str]) -> Iterator[bundle.Run]:
    """One after the other, so that one at a time is in memory; each once."""
    seen = set()
    for id_ in ids:
        analyst.queue.give_way()
        try:
            run = analyst.recorder.load(id_)
        except CorpusRunError:
            raise
        except RunNotFoundError:
            raise RunNotFoundError(f"there is no run {id_[:40]}") from None
        if run.summary.run_id not in seen:
            seen.add(run.summary.run_id)
            analyst.queue.give_way()
            yield bundle.Run(run.summary.run_id, run.summary.created, run.trace)


def lent(recorder: Recorder, run_id: str, path: str) -> Response:
    """A run's file: streamed from here, or the way to it where the store gives links."""
    link = recorder.link(run_id, path)
    if link is not None:
        return RedirectResponse(link, 307)
    with ExitStack() as stack:
        place = stack.enter_context(recorder.file(run_id, path))
        beginning, dot, ending = path.rpartition("/")[2].partition(".")
        return LentFile(place, stack.pop_all().close, f"{beginning}-{run_id[:8]}{dot}{ending}")
