"""The history: what was recorded, newest first, to find, compare, name and delete."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html

from app.analysis import Analyst
from app.components import ids
from app.components.attributes import attributes
from app.pages.runs.actions import act, bar, toasts
from app.pages.runs.address import read, read_search, search_of
from app.pages.runs.filters import FIELDS, filters
from app.pages.runs.listing import listing


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout for a filter in the address. The list itself comes a moment later,
    so that a slow store holds up nothing."""

    def page(**given: Any) -> html.Div:
        return html.Div(
            [
                html.H1("Runs"),
                filters(read(given).query, list(analyst.registry.specs)),
                bar(),
                html.P(
                    [
                        "The server does not answer. ",
                        html.Button(
                            "Try again", className="action", **attributes(data_runs="again")
                        ),
                    ],
                    id=ids.RUNS_GONE,
                    className="told",
                    role="alert",
                    hidden=True,
                ),
                html.Div(
                    id=ids.RUNS_LIST,
                    className="runs-list",
                    tabIndex="-1",
                    role="region",
                    **attributes(aria_label="List of runs"),
                ),
                html.Nav(
                    [
                        html.A("Newest runs", id=ids.RUNS_FIRST, hidden=True, **_steps("go")),
                        html.A("Newer runs", id=ids.RUNS_NEWER, hidden=True, **_steps("newer")),
                        html.A("Older runs", id=ids.RUNS_OLDER, hidden=True, **_steps("older")),
                    ],
                    className="pager",
                    **attributes(aria_label="Parts of the list"),
                ),
                toasts(),
                dcc.Store(id=ids.RUNS_ASKED, data={"search": search_of(given), "chosen": []}),
                dcc.Store(id=ids.RUNS_FOLLOWING),
                dcc.Store(id=ids.RUNS_CHOSEN),
                dcc.Store(id=ids.RUNS_ACTION),
                dcc.Store(id=ids.RUNS_TOLD),
            ],
            className="history",
        )

    return page


def _steps(kind: str) -> dict[str, Any]:
    return {"className": "action", **attributes(data_runs=kind)}


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that list, and that do something with chosen runs."""

    @app.callback(
        Output(ids.RUNS_LIST, "children"),
        Output(ids.RUNS_FOLLOWING, "data"),
        Input(ids.RUNS_ASKED, "data"),
    )
    def _list(asked: Any) -> Any:
        found = listing(analyst.recorder, read_search(asked["search"]), asked["chosen"])
        return found.children, {"cursor": found.following, "at": time.time()}

    @app.callback(
        Output(ids.RUNS_TOLD, "data"),
        Input(ids.RUNS_ACTION, "data"),
        prevent_initial_call=True,
    )
    def _act(action: Any) -> Any:
        return act(analyst.recorder, action)

    app.clientside_callback(
        ClientsideFunction("runs", "filter"),
        *[Input(id_, "value") for id_ in FIELDS.values()],
    )
    app.clientside_callback(
        ClientsideFunction("runs", "listed"),
        Output(ids.RUNS_FIRST, "href"),
        Output(ids.RUNS_FIRST, "hidden"),
        Output(ids.RUNS_NEWER, "href"),
        Output(ids.RUNS_NEWER, "hidden"),
        Output(ids.RUNS_OLDER, "href"),
        Output(ids.RUNS_OLDER, "hidden"),
        Input(ids.RUNS_FOLLOWING, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("runs", "chosen"),
        Output(ids.RUNS_CHOSEN, "data"),
        Output(ids.RUNS_BAR, "hidden"),
        Output(ids.RUNS_COUNT, "children"),
        Output(ids.RUNS_COMPARE, "href"),
        Output(ids.RUNS_COMPARE, "title"),
        Output(ids.RUNS_CSV, "href"),
        Output(ids.RUNS_PARQUET, "href"),
        Output(ids.RUNS_TAG_OPEN, "disabled"),
        Output(ids.RUNS_RENAME_OPEN, "disabled"),
        Output(ids.RUNS_TAG_OPEN, "title"),
        Output(ids.RUNS_RENAME_OPEN, "title"),
        Input({"type": ids.RUN_CHECK, "index": ALL}, "value"),
        State({"type": ids.RUN_CHECK, "index": ALL}, "id"),
        State({"type": ids.RUN_ROW, "index": ALL}, "data-waits"),
        State({"type": ids.RUN_ROW, "index": ALL}, "data-kind"),
    )
    app.clientside_callback(
        ClientsideFunction("runs", "told"),
        Input(ids.RUNS_TOLD, "data"),
        prevent_initial_call=True,
    )
