"""Corpora: hand one in, choose its columns, watch the model read it, open its atlas.

The browser does all of it with the API: assets/corpus.js hands in, assets/corpora.js lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids
from app.components.attributes import attributes
from app.components.file_drop import file_drop, words

_MOST_NAME = 200


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; what depends on a file or a pass is filled in by the browser."""

    def page(**_query: Any) -> html.Div:
        return html.Div(
            [
                html.H1("Corpora"),
                html.P(
                    "Hand in a file of many documents. The model reads all of them, and their "
                    "atlas shows what each expert takes.",
                    className="quiet",
                ),
                *file_drop(
                    ids.CORPORA_FILES,
                    "Plain text with a document a line, CSV, JSON Lines or Parquet; each may be "
                    "gzipped.",
                    _button("Use the example corpus", ids.CORPORA_EXAMPLE, "action"),
                ),
                *words(ids.CORPORA_FILES),
                _form(analyst),
                html.Section(
                    [
                        html.H2("Passes", id=ids.CORPORA_HEADING, tabIndex="-1"),
                        html.P(
                            "The server does not answer. This page asks again by itself.",
                            id=ids.CORPORA_GONE,
                            className="told",
                            role="alert",
                            hidden=True,
                        ),
                        html.Ul(id=ids.CORPORA_LIST, className="passes"),
                        _none_yet(),
                    ],
                    **attributes(aria_labelledby=ids.CORPORA_HEADING),
                ),
                dcc.Store(id=ids.CORPORA_PAGE),
            ],
            className="compare corpora",
        )

    return page


def _form(analyst: Analyst) -> Component:
    return html.Form(
        [
            html.H2(id=ids.CORPORA_TITLE, tabIndex="-1"),
            html.Div(
                html.Table(id=ids.CORPORA_PREVIEW, className="preview"),
                className="scroller",
                tabIndex="0",
                role="region",
                **attributes(aria_label="First rows"),
            ),
            html.Div(
                [
                    _field(
                        "Column with the text",
                        html.Select(id=ids.CORPORA_TEXT, className="form-select form-select-sm"),
                    ),
                    _field(
                        "Model",
                        dbc.Select(
                            id=ids.CORPORA_MODEL,
                            options=[
                                {"label": id_, "value": id_} for id_ in analyst.registry.specs
                            ],
                            value=analyst.registry.default,
                            size="sm",
                        ),
                    ),
                    _field(
                        "Name",
                        dbc.Input(
                            id=ids.CORPORA_NAME,
                            maxlength=_MOST_NAME,
                            autocomplete="off",
                            size="sm",
                        ),
                    ),
                    _field(
                        "Tokens read of each document, at most",
                        dbc.Input(
                            id=ids.CORPORA_MAX_TOKENS,
                            type="number",
                            min=1,
                            max=analyst.max_tokens,
                            step=1,
                            placeholder=str(analyst.max_tokens),
                            size="sm",
                        ),
                    ),
                ],
                className="fields",
            ),
            html.Fieldset(
                [
                    html.Legend("Labels that experts are compared by"),
                    html.Div(id=ids.CORPORA_LABELS, className="checks"),
                ]
            ),
            dbc.Checkbox(
                id=ids.CORPORA_TOKENS,
                label="Also write every token's routing, as Parquet",
            ),
            html.Button("Start", className="primary", type="submit"),
        ],
        id=ids.CORPORA_FORM,
        className="corpus-form",
        hidden=True,
        **attributes(aria_labelledby=ids.CORPORA_TITLE),
    )


def _field(label: str, control: Any) -> Component:
    return html.Div([html.Label(label, htmlFor=control.id, className="quiet"), control])


def _button(words: str, id_: str, look: str) -> Component:
    return html.Button(words, id=id_, className=look, type="button")


def _none_yet() -> Component:
    return html.Div(
        [
            html.P(
                "No corpus was read yet. A corpus is a file of many documents, such as articles "
                "or reviews, perhaps with labels such as a language or a topic."
            ),
            html.P("The example corpus takes about a minute."),
        ],
        id=ids.CORPORA_NONE,
        className="nothing",
        hidden=True,
    )


def register(app: Dash) -> None:
    """Starts the browser's part when the page is there."""
    app.clientside_callback(
        ClientsideFunction("corpora", "start"),
        Output(ids.CORPORA_PAGE, "data"),
        Input(ids.CORPORA_PAGE, "id"),
    )
