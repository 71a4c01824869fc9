"""Third step: the registered models, and which version of each answers.

assets/predict_models.js lists them.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from app.components import ids
from app.pages.predict.fields import step


def layout() -> Component:
    """The step; models are listed by the browser."""
    content = [
        html.P(
            "The champion answers. A later version is the challenger until it is promoted.",
            className="quiet",
        ),
        html.Ul(id=ids.PREDICT_MODELS_LIST, className="passes"),
    ]
    return step(ids.PREDICT_MODELS, "Models", ids.PREDICT_MODELS_TITLE, content)
