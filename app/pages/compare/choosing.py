"""Asking for two runs, analyses or passes over corpora."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.corpus.library import Pass
from app.figures.labels import count_of
from app.pages.compare.opening import Opened, id_of
from app.recording.base import RecordedRun, RecordingError, RunSummary

_OFFERED = 50
_MOST_LABEL = 60


def form(runs: Mapping[str, Opened]) -> Component:
    """Asks for two runs; a callback fills in the recent ones."""

    def choice(id_: str, name: str) -> html.Div:
        run = runs.get(name)
        return html.Div(
            [
                html.Label(f"Run {name}", htmlFor=id_, className="quiet"),
                dbc.Select(
                    id=id_,
                    name=name,
                    options=[_known(run)] if run else [],
                    value=id_of(run) if run else "",
                    placeholder="Choose a run",
                    size="sm",
                ),
            ],
            className="choice",
        )

    return html.Form(
        [
            choice(ids.COMPARE_A, "a"),
            choice(ids.COMPARE_B, "b"),
            html.Button("Compare", className="primary"),
        ],
        action=links.to("/compare"),
        method="get",
        className="compare-form",
    )


def another(asking: Component) -> Component:
    """The same form below a comparison."""
    return html.Section(
        [html.H2("Compare others", id="others-title"), asking],
        className="panel others",
        **attributes(aria_labelledby="others-title"),
    )


def address(asked: Mapping[str, str], **changes: str) -> str:
    """This page with these runs, stack and label."""
    query = {name: value for name, value in {**asked, **changes}.items() if value}
    return links.to(f"/compare?{urlencode(query)}")


def swap(asked: Mapping[str, str]) -> Component:
    """The way to the same with a and b exchanged."""
    return dcc.Link("Swap a and b", href=address(asked, a=asked["b"], b=asked["a"]))


def _known(run: Opened) -> dict[str, str]:
    if isinstance(run, RecordedRun):
        return option(run.summary)
    return option(_summary(run))


def _summary(found: Pass) -> RunSummary:
    about, progress = found.about, found.progress
    return RunSummary(
        run_id=id_of(found),
        created=about.created,
        model=about.order.model,
        text=about.order.name,
        tokens=progress.tokens,
        status="recorded",
        kind="corpus",
        documents=progress.documents,
    )


def option(run: RunSummary) -> dict[str, str]:
    """A run as an option of the form."""
    text = run.name or run.text
    short = text if len(text) <= _MOST_LABEL else text[: _MOST_LABEL - 1] + "…"
    kind = "corpus" if run.kind == "corpus" else "+".join(run.stacks)
    about = [run.model, count_of(run.tokens, "token"), kind, f"{run.created:%Y-%m-%d %H:%M} UTC"]
    return {"label": " · ".join([short, *filter(None, about)]), "value": run.run_id}


def offered(analyst: Analyst, *kept: list[dict[str, str]]) -> tuple[list[dict[str, str]], ...]:
    """The recent runs as options after those that a select has already."""
    try:
        recent = [option(run) for run in analyst.recorder.history(_OFFERED).runs]
    except RecordingError:
        recent = []
    found = []
    for options in kept:
        there = {one["value"] for one in options}
        found.append([*options, *(each for each in recent if each["value"] not in there)])
    return tuple(found)


def register(app: Dash, analyst: Analyst) -> None:
    """The callback that lists the recent runs."""

    @app.callback(
        Output(ids.COMPARE_A, "options"),
        Output(ids.COMPARE_B, "options"),
        Input(ids.COMPARE_A, "id"),
        State(ids.COMPARE_A, "options"),
        State(ids.COMPARE_B, "options"),
    )
    def _recent(_id: Any, of_a: Any, of_b: Any) -> Any:
        return offered(analyst, of_a, of_b)
