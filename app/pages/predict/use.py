"""Fourth step: a model is asked, one row by a form or many by a CSV file.

assets/predict_use.js makes the form of the model's schema.
"""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from app.components import ids
from app.components.attributes import attributes
from app.pages.predict.fields import choice, field, step


def layout() -> Component:
    """The step; the form is made by the browser."""
    content = [
        html.Div(
            [
                field("Model", choice(ids.PREDICT_USE_MODEL)),
                field("Version", choice(ids.PREDICT_USE_VERSION)),
            ],
            className="fields",
        ),
        _sentence(),
        html.Form(id=ids.PREDICT_ROW, className="corpus-form", hidden=True),
        html.Div(id=ids.PREDICT_ANSWER, **attributes(aria_live="polite")),
        html.Div(id=ids.PREDICT_MANY, className="drop", hidden=True),
        html.Div(id=ids.PREDICT_ANSWERS, **attributes(aria_live="polite")),
    ]
    return step(ids.PREDICT_USE, "Use", ids.PREDICT_USE_TITLE, content)


def _sentence() -> Component:
    """For a model that explains a router."""
    return html.Form(
        [
            field(
                "A sentence, to see predicted beside true experts",
                dcc.Textarea(id=ids.PREDICT_SENTENCE, className="form-control", rows=2),
            ),
            html.Div(id=ids.PREDICT_LABELS, className="fields"),
            html.Button("Route and predict", className="primary", type="submit"),
            html.Div(id=ids.PREDICT_GUESSED, **attributes(aria_live="polite")),
        ],
        id=ids.PREDICT_SENTENCE_FORM,
        className="corpus-form",
        hidden=True,
    )
