"""The filter row of the history: what to look for, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import dash_bootstrap_components as dbc
from dash import html

from app.components import ids
from app.components.attributes import attributes
from app.pages.runs.address import KINDS, MOST_SEARCH, STACKS
from app.recording.base import MOST_TAG, SORTS, Query

# What a select says that leaves its condition out.
ALL = "*"
# In the order in which the browser's script reads them, as the address names them.
FIELDS = {
    "q": ids.RUNS_SEARCH,
    "kind": ids.RUNS_KIND,
    "model": ids.RUNS_MODEL,
    "stack": ids.RUNS_STACK,
    "tag": ids.RUNS_TAG,
    "since": ids.RUNS_SINCE,
    "until": ids.RUNS_UNTIL,
    "sort": ids.RUNS_SORT,
    "order": ids.RUNS_ORDER,
}


def filters(query: Query, models: Sequence[str]) -> html.Div:
    """The row, set to a query. A model of the query that is not offered here is listed too."""
    listed = sorted({*models, *([query.model] if query.model else [])})
    return html.Div(
        [
            _field(
                "Search",
                dbc.Input(
                    id=ids.RUNS_SEARCH,
                    type="search",
                    value=query.text,
                    maxlength=MOST_SEARCH,
                    placeholder="in names and texts",
                    autocomplete="off",
                ),
            ),
            _field(
                "Tag",
                dbc.Input(
                    id=ids.RUNS_TAG,
                    type="text",
                    value=query.tag,
                    maxlength=MOST_TAG,
                    autocomplete="off",
                ),
            ),
            _field("Kind", _any_of(ids.RUNS_KIND, query.kind, KINDS)),
            _field("Model", _any_of(ids.RUNS_MODEL, query.model, _named(listed))),
            _field("Stack", _any_of(ids.RUNS_STACK, query.stack, _named(STACKS))),
            _field("From (UTC)", _day(ids.RUNS_SINCE, query.since)),
            _field("To (UTC)", _day(ids.RUNS_UNTIL, query.until)),
            _field("Sort by", _select(ids.RUNS_SORT, query.sort, SORTS)),
            _field(
                "Order",
                _select(
                    ids.RUNS_ORDER,
                    "desc" if query.descending else "asc",
                    {"desc": "descending", "asc": "ascending"},
                ),
            ),
        ],
        id=ids.RUNS_FILTER,
        className="runs-filter",
        role="search",
        **attributes(aria_label="Filter the runs"),
    )


def _field(name: str, control: Any) -> html.Div:
    return html.Div([html.Label(name, htmlFor=control.id, className="quiet"), control])


def _select(id_: str, value: str, options: dict[str, str]) -> Any:
    listed = [{"label": label, "value": name} for name, label in options.items()]
    return dbc.Select(id=id_, value=value, options=listed)


def _any_of(id_: str, value: str, options: dict[str, str]) -> Any:
    return _select(id_, value or ALL, {ALL: "all", **options})


def _named(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _day(id_: str, value: date | None) -> Any:
    return dbc.Input(id=id_, type="date", value=value.isoformat() if value else "")
