"""Fifth step: how a model does: requests, drift, quality by labels that came later.

assets/predict_watch.js shows it.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from app.components import ids
from app.pages.predict.fields import choice, field, step


def layout() -> Component:
    """The step; what was noted is filled in by the browser."""
    content = [
        html.Div(
            [
                field("Model", choice(ids.PREDICT_WATCH_MODEL)),
                field("Version", choice(ids.PREDICT_WATCH_VERSION)),
            ],
            className="fields",
        ),
        html.Div(id=ids.PREDICT_WATCHED, className="watched"),
    ]
    return step(ids.PREDICT_WATCH, "Watch", ids.PREDICT_WATCH_TITLE, content)
