"""Second step: models are trained, and what came of them is looked at.

assets/predict_train.js orders and lists, assets/predict_result.js shows what came of one.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from app.components import ids
from app.pages.predict.fields import choice, field, step

_MOST_NAME = 200
_BUDGETS = {
    "60": "1 minute",
    "300": "5 minutes",
    "900": "15 minutes",
    "3600": "1 hour",
    "28800": "8 hours",
    "models": "a number of models",
}


def layout() -> Component:
    """The step; trainings are listed by the browser."""
    content = [
        _order(),
        html.Ul(id=ids.PREDICT_LIST, className="passes"),
        html.Div(id=ids.PREDICT_RESULT, className="result"),
    ]
    return step(ids.PREDICT_TRAIN, "Train", ids.PREDICT_TRAIN_TITLE, content)


def _order() -> Component:
    return html.Form(
        [
            html.P(id=ids.PREDICT_ORDERED),
            html.Div(
                [
                    field("Train for", choice(ids.PREDICT_BUDGET, _BUDGETS, "300")),
                    field("Models, ensembles on top", _number(ids.PREDICT_COUNT, 1, 1000, 10)),
                    field("Rank by", choice(ids.PREDICT_METRIC)),
                    field("Seed", _number(ids.PREDICT_SEED, 0, 2**31 - 1, 1)),
                    field(
                        "Name",
                        dbc.Input(
                            id=ids.PREDICT_NAME,
                            maxlength=_MOST_NAME,
                            autocomplete="off",
                            size="sm",
                        ),
                    ),
                ],
                className="fields",
            ),
            dbc.Checkbox(
                id=ids.PREDICT_ALL_LAYERS, label="Explain every layer, one training for each"
            ),
            html.Button("Start", className="primary", type="submit"),
        ],
        id=ids.PREDICT_ORDER,
        className="corpus-form",
        hidden=True,
    )


def _number(id_: str, low: int, high: int, value: int) -> Any:
    return dbc.Input(id=id_, type="number", min=low, max=high, step=1, value=value, size="sm")
