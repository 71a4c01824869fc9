"""The text, its model and what became of it: what a live and a recorded analysis share."""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from app.analysis import Analyst
from app.components import downloads, ids
from app.components.attributes import attributes
from app.components.controls import Choices, live_link
from app.components.diagrams import obtain
from app.recording.base import Receipt, RecordingError, RunNotFoundError
from app.routing.errors import RoutingError

_WAIT_FOR_STORE = 1.0
_PAUSE_MS = 600


def entry(
    text: str,
    models: list[str],
    model: str,
    choices: Choices,
    kept: bool = False,
    fixed: bool = False,
) -> html.Div:
    """The text, the model, and what became of them. `fixed` for a recorded analysis."""
    keep: dict[str, Any] = {"persistence": True, "persistence_type": "session"} if kept else {}
    return html.Div(
        [
            html.Div(
                [
                    html.Label("Text", htmlFor=ids.TEXT, className="visually-hidden"),
                    dbc.Textarea(
                        id=ids.TEXT,
                        value=text,
                        rows=2,
                        readonly=fixed,
                        autofocus=not fixed,
                        spellcheck="false",
                        placeholder="Type a sentence",
                        # The page's script follows each key; telling Dash of it costs more
                        # than drawing does, and can wait for a pause.
                        debounce=_PAUSE_MS,
                    ),
                ],
                className="text",
            ),
            html.Div(
                [
                    html.Div(
                        [
                            html.Label("Model", htmlFor=ids.MODEL, className="quiet"),
                            dbc.Select(
                                id=ids.MODEL,
                                options=[{"label": name, "value": name} for name in models],
                                value=model,
                                disabled=fixed,
                                **keep,
                            ),
                        ],
                        className="model",
                    ),
                    html.Div(
                        id=ids.STATUS,
                        role="status",
                        className="status",
                        **attributes(aria_live="polite", data_state="idle", data_run_id=""),
                    ),
                    html.Div(
                        [
                            html.Button("Analyse", id=ids.ANALYSE, className="primary")
                            if not fixed
                            else dcc.Link("Open in live", href=live_link(text, model, choices)),
                            html.A("Open run", id=ids.RUN_LINK, className="action"),
                            html.Button("Copy link", id=ids.COPY_LINK, className="action"),
                            html.A("CSV", id=ids.DOWNLOAD, className="action", download=""),
                            downloads.run_menu(),
                        ],
                        className="actions",
                    ),
                ],
                className="side",
            ),
        ],
        className="entry",
    )


def record(analyst: Analyst, commit: dict[str, Any]) -> dict[str, Any] | Any:
    """Keeps the analysis of a text; what the page needs to know of where it stands."""
    try:
        trace = obtain(analyst, commit, preview=False)
    except RoutingError:
        # The drawing of the same text already told what is wrong with it.
        return no_update
    receipt = analyst.record(trace)
    recorded = _told(commit, receipt)
    return standing(analyst, recorded) if receipt.status == "pending" else recorded


def standing(analyst: Analyst, recorded: dict[str, Any]) -> dict[str, Any]:
    """Where a recorded text stands now."""
    try:
        receipt = analyst.recorder.receipt(recorded["id"], _WAIT_FOR_STORE)
    except (RunNotFoundError, RecordingError) as error:
        return {**recorded, "status": "failed", "detail": str(error)}
    return _told(recorded, receipt)


def _told(about: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
    return {
        **about,
        "id": receipt.id,
        "run_id": receipt.run_id,
        "status": receipt.status,
        "detail": receipt.detail,
    }


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that tell the page's script what is asked for, record, and follow that."""

    @app.callback(
        Output(ids.RECEIPT, "data"),
        Input(ids.COMMIT, "data"),
        prevent_initial_call=True,
    )
    def _record(commit: Any) -> Any:
        return record(analyst, commit)

    @app.callback(
        Output(ids.RECEIPT, "data", allow_duplicate=True),
        Input(ids.POLL, "n_intervals"),
        State(ids.RECORDED, "data"),
        prevent_initial_call=True,
    )
    def _poll(_ticks: Any, recorded: Any) -> Any:
        return standing(analyst, recorded) if recorded else no_update

    app.clientside_callback(
        ClientsideFunction("moescope", "follow"),
        Input(ids.TEXT, "value"),
        Input(ids.MODEL, "value"),
        Input(ids.SETTINGS, "data"),
        Input(ids.THEME, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "keep"),
        Output(ids.RECORDED, "data"),
        Input(ids.RECEIPT, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "polling"),
        Output(ids.POLL, "disabled"),
        Input(ids.RECORDED, "data"),
    )
