"""One line over every page while analyses wait for the store or could not be recorded."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, ctx, dcc, html

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.figures.labels import count_of
from app.recording.base import StoreState

_ASK_MILLISECONDS = 3000


def store_notice() -> html.Div:
    """The notice, hidden while all is well."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span(id=ids.STORE_TEXT, role="status"),
                    html.Button("Try again", id=ids.STORE_RETRY, className="action"),
                    dcc.Link("See them", href=links.to("/runs"), className="action"),
                ],
                id=ids.STORE_NOTICE,
                className="store-notice",
                hidden=True,
            ),
            dcc.Store(id=ids.STORE_HINT),
            dcc.Interval(id=ids.STORE_POLL, interval=_ASK_MILLISECONDS, disabled=True),
        ],
        role="region",
        **attributes(aria_label="Store"),
    )


def store_text(state: StoreState, seen: bool = False) -> str:
    """What there is to say, empty if nothing.

    Analyses that are only on their way are told to somebody who has `seen` that they wait.
    """
    parts = []
    if state.down and state.pending:
        waits = "analysis waits" if state.pending == 1 else "analyses wait"
        kept = "It is" if state.pending == 1 else "They are"
        reason = state.down.rstrip(".")
        parts.append(f"{state.pending:,} {waits} for the store: {reason}. {kept} kept here.")
    elif state.down:
        parts.append(f"The store can't be used now: {state.down.rstrip('.')}.")
    elif state.pending and seen:
        parts.append(f"{count_of(state.pending, 'waiting run')} on the way to the store.")
    if state.failed:
        reason = f": {state.failure.rstrip('.')}" if state.failure else ""
        parts.append(f"{state.failed:,} could not be recorded{reason}.")
    return " ".join(parts)


def register(app: Dash, analyst: Analyst) -> None:
    """Asks when a page opens, when a recording does not come through, and while the notice
    is there."""

    @app.callback(
        Output(ids.STORE_TEXT, "children"),
        Output(ids.STORE_NOTICE, "hidden"),
        Output(ids.STORE_POLL, "disabled"),
        Input("_pages_location", "pathname"),
        Input(ids.STORE_HINT, "data"),
        Input(ids.STORE_POLL, "n_intervals"),
        Input(ids.STORE_RETRY, "n_clicks"),
    )
    def _ask(*_: Any) -> tuple[str, bool, bool]:
        if ctx.triggered_id == ids.STORE_RETRY:
            analyst.recorder.retry()
        seen = ctx.triggered_id in (ids.STORE_RETRY, ids.STORE_POLL)
        text = store_text(analyst.recorder.state(), seen)
        return text, not text, not text

    app.clientside_callback(
        ClientsideFunction("runs", "hint"),
        Output(ids.STORE_HINT, "data"),
        Input(ids.RECORDED, "data"),
        prevent_initial_call=True,
    )
