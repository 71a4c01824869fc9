"""Predict: from a table to a model that answers and is watched, in five steps.

The browser does all of it with the API: assets/predict.js leads through the steps, each of which
has a module here and a script.
"""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html

from app.components import ids
from app.components.attributes import attributes
from app.components.file_drop import words
from app.pages.predict import data, models, train, use, watch

_STEPS = {"data": "Data", "train": "Train", "models": "Models", "use": "Use", "watch": "Watch"}


def layout(**_query: Any) -> html.Div:
    """The page's layout; the browser shows the step that the address names."""
    return html.Div(
        [
            html.H1("Predict"),
            html.P(
                "Train models on a table, keep the best one, use it and watch how it does. The "
                "table may be a router's own: which expert each token went to.",
                className="quiet",
            ),
            html.P(id=ids.PREDICT_REFUSAL, className="told", hidden=True),
            html.Nav(
                [
                    html.Button(
                        [html.Span(f"{number} ", className="quiet"), words_],
                        type="button",
                        **attributes(data_step=name),
                    )
                    for number, (name, words_) in enumerate(_STEPS.items(), 1)
                ],
                id=ids.PREDICT_STEPS,
                className="steps",
                **attributes(aria_label="Steps"),
            ),
            *words(ids.PREDICT_FILES),
            *(each.layout() for each in (data, train, models, use, watch)),
            dcc.Store(id=ids.PREDICT_PAGE),
        ],
        className="compare corpora predict",
    )


def register(app: Dash) -> None:
    """Starts the browser's part when the page is there."""
    app.clientside_callback(
        ClientsideFunction("predict", "start"),
        Output(ids.PREDICT_PAGE, "data"),
        Input(ids.PREDICT_PAGE, "id"),
    )
