"""First step: a table is handed in or made of a router's tokens, and its columns are chosen.

assets/predict_data.js fills it in.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import dcc, html
from dash.development.base_component import Component

from app.components import ids, links
from app.components.attributes import attributes
from app.components.file_drop import file_drop
from app.pages.predict.fields import choice, field, scroller, step

_TASKS = {"classification": "Which value it is (classes)", "regression": "How much it is (numbers)"}
_MISSING = {
    "keep": "keep them as missing",
    "fill": "fill in the median or the most frequent",
    "refuse": "leave their rows out",
}


def layout() -> Component:
    """The step; what depends on a table is filled in by the browser."""
    drop = file_drop(ids.PREDICT_FILES, "A table as CSV or Parquet; either may be gzipped.")
    content = [*drop, _router(), _table()]
    return step(ids.PREDICT_DATA, "What to learn from", ids.PREDICT_DATA_TITLE, content)


def _router() -> Component:
    return html.Div(
        [
            html.H3("Or explain a router"),
            html.P(
                "Which expert a token goes to, predicted from how the token looks: how much of "
                "the routing needs no context?",
                className="quiet",
            ),
            html.P(
                [
                    "For that a corpus has to be read with «Also write every token's routing», on "
                    "the page ",
                    dcc.Link("Corpora", href=links.to("/corpora")),
                    ".",
                ],
                id=ids.PREDICT_ROUTER_NONE,
                hidden=True,
            ),
            html.Form(
                [
                    html.Div(
                        [
                            field("Corpus pass", choice(ids.PREDICT_ROUTER)),
                            field("Router layer", choice(ids.PREDICT_LAYER)),
                        ],
                        className="fields",
                    ),
                    html.Button("Look at its tokens", className="action", type="submit"),
                ],
                id=ids.PREDICT_ROUTER_FORM,
                className="corpus-form",
                hidden=True,
            ),
        ],
        className="router",
    )


def _table() -> Component:
    return html.Form(
        [
            html.H3(id=ids.PREDICT_TABLE_TITLE, tabIndex="-1"),
            html.Details(id=ids.PREDICT_SKIPPED),
            scroller("First rows", html.Table(id=ids.PREDICT_PREVIEW, className="preview")),
            html.Div(
                [
                    field("Column to predict", choice(ids.PREDICT_TARGET)),
                    field("What is asked of it", choice(ids.PREDICT_TASK, _TASKS)),
                    field("Missing values of others", choice(ids.PREDICT_MISSING, _MISSING)),
                    field(
                        "Values of a category in fewer rows become one",
                        dbc.Input(
                            id=ids.PREDICT_LEAST_ROWS,
                            type="number",
                            min=1,
                            step=1,
                            value=1,
                            size="sm",
                        ),
                    ),
                ],
                className="fields",
            ),
            html.Div(id=ids.PREDICT_PLAN, className="plan", **attributes(aria_live="polite")),
            scroller("Columns", html.Table(id=ids.PREDICT_COLUMNS, className="preview columns")),
            html.Button("Go on to training", className="primary", type="submit"),
        ],
        id=ids.PREDICT_TABLE,
        className="corpus-form",
        hidden=True,
        **attributes(aria_labelledby=ids.PREDICT_TABLE_TITLE),
    )
