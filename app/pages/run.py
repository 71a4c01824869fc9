"""The permalink: a recorded analysis, exactly as it was, or the way to the atlas of a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update

from app.analysis import Analyst
from app.components import ids, links
from app.components.controls import VIEWS, Choices, controls, pinned
from app.components.corpus_pass import experts_link, pass_page
from app.components.diagrams import diagrams
from app.components.entry import entry
from app.components.message import message, sentence
from app.components.recomputed import again, recomputed
from app.components.settled import settled_panels
from app.corpus.library import Pass, PassNotFoundError
from app.recording.base import CorpusRunError, RecordedRun, RecordingError, RunNotFoundError
from app.routing.capacity import own_capacity
from app.routing.trace import RoutingTrace


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout for a run id in the address, which also keeps what is looked at:
    the stack, the selection and a what-if capacity."""

    def page(run_id: str = "", **given: Any) -> html.Div:
        query = links.once(given)
        try:
            run = analyst.recorded(run_id)
        except CorpusRunError as error:
            found = _pass_of(analyst, run_id)
            said = html.Div(pass_page(error.summary, found, error.mlflow_url), className="compare")
        except RunNotFoundError:
            detail = ["It may have been deleted from the store.", *_experts_left(analyst, run_id)]
            said = message("There is no such run", detail)
        except RecordingError as error:
            detail = [sentence(error), *_experts_left(analyst, run_id)]
            said = message("The run can't be read", detail)
        else:
            return _recorded(run, run_id, query)
        # Dash learns from a page without a run which components there are.
        return html.Div([said, html.Div(again(), hidden=True)])

    return page


def _pass_of(analyst: Analyst, id_: str) -> Pass | None:
    """The pass with this id, or that became this run, while its counts are here."""
    try:
        return analyst.library.find(id_)
    except PassNotFoundError:
        return None


def _experts_left(analyst: Analyst, id_: str) -> list[Any]:
    """The way to the experts of a pass, whose counts are here though its run can't be had."""
    if _pass_of(analyst, id_) is None:
        return []
    return [" ", experts_link(id_, "The experts of this corpus pass can be opened.")]


def _recorded(run: RecordedRun, run_id: str, query: Mapping[str, str]) -> html.Div:
    trace, summary = run.trace, run.summary
    libraries = trace.provenance.get("libraries", {})
    made = Choices.of_trace(trace)
    choices, altered = looked_at(trace, query)
    request = {
        "run": run_id,
        "text": trace.text,
        "model": trace.model.id,
        "view": choices.view,
        "settings": altered,
    }
    recorded = {
        **request,
        "settings": {},
        "id": run_id,
        "run_id": summary.run_id,
        "status": summary.status,
    }
    return html.Div(
        [
            html.H1("Recorded run", className="visually-hidden"),
            entry(trace.text, [trace.model.id], trace.model.id, made, fixed=True),
            controls(choices, fixed=True),
            html.P(
                [
                    html.Time(
                        f"{summary.created:%Y-%m-%d %H:%M} UTC",
                        dateTime=summary.created.isoformat(),
                    ),
                    f" · {trace.model.architecture} · revision {trace.model.revision[:12]} · "
                    f"{trace.provenance.get('dtype', '')} · "
                    + ", ".join(f"{name} {version}" for name, version in libraries.items()),
                ],
                className="quiet provenance",
            ),
            html.Div(
                [
                    dcc.Link("Compare with…", href=links.to(f"/compare?a={summary.run_id}")),
                    *_in_mlflow(run),
                    *again(),
                ],
                className="run-actions",
            ),
            *diagrams(request, recorded, pinned(query)),
            *settled_panels(),
        ]
    )


def _in_mlflow(run: RecordedRun) -> list[html.A]:
    if run.mlflow_url is None:
        return []
    return [html.A("Open in MLflow", href=run.mlflow_url, target="_blank", rel="noreferrer")]


def looked_at(trace: RoutingTrace, query: Mapping[str, str]) -> tuple[Choices, dict[str, int]]:
    """What the controls say, and the settings that make it a what-if; both from an address.

    What can't be read there, and a capacity that the model can't have, count as left out.
    """
    made, asked = Choices.of_trace(trace), Choices.of_query(query)
    choices = replace(made, view=asked.view) if query.get("view") in VIEWS else made
    own = own_capacity(trace)
    usual = trace.provenance.get("capacity", own)
    if own is None or asked.capacity is None or asked.capacity > own or asked.capacity == usual:
        return choices, {}
    return replace(choices, capacity=asked.capacity), {"capacity": asked.capacity}


def register(app: Dash, analyst: Analyst) -> None:
    """The callback that computes a run again."""

    @app.callback(
        Output(ids.RECOMPUTED, "children"),
        Input(ids.RECOMPUTE, "n_clicks"),
        State(ids.RECORDED, "data"),
        prevent_initial_call=True,
        running=[
            (Output(ids.RECOMPUTE, "disabled"), True, False),
            (Output(ids.RECOMPUTE, "children"), "Computing…", "Compute again"),
        ],
    )
    def _recompute(clicks: int | None, recorded: Any) -> Any:
        return recomputed(analyst, recorded["id"]) if clicks and recorded else no_update
