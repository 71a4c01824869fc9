"""How much of the routing of a pass can be told from the surface of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.automl.library import Trainings
from app.components import ids, links
from app.components.downloads import Picture
from app.components.panel import HIDDEN, VISIBLE, fitted, frame, panel
from app.corpus.library import Pass
from app.figures.theme import LIGHT, THEMES, Theme
from app.figures.trainings.explained import Explained, explained_figure, explained_summary
from app.pages.experts.views import View, still_there
from app.surfaces import explained

_OUTPUTS = 5


def part(view: View | None) -> Component:
    """The section, empty until it is drawn."""
    return html.Div(
        panel(
            "explained",
            "What the surface of a token says of its expert",
            "Filled: the best model that predicts the expert from the token and the one before, "
            "on documents held out, with 95 % intervals of documents. Hollow: who knows the load "
            "alone. What is missing to an accuracy of 1 is at most what the context does.",
            html.Div(
                [
                    html.Div(id=ids.EXPLAINED_SAID),
                    html.Div(
                        frame(ids.EXPLAINED, "explained-frame", "Predicted experts over depth"),
                        id=ids.EXPLAINED_FRAME,
                        style=HIDDEN,
                    ),
                ]
            ),
            ids.EXPLAINED_SUMMARY,
            (Picture(ids.EXPLAINED, "explained"),),
        ),
        style=VISIBLE if view else HIDDEN,
    )


def drawn(found: Pass, layers: Sequence[Explained], layer: int, theme: Theme) -> tuple[Any, ...]:
    """The figure with its style and that of its frame, in words, and what is said of it."""
    if not layers:
        return no_update, no_update, HIDDEN, "", _needed(found, layer)
    figure = fitted(explained_figure(layers, theme))
    return *figure, VISIBLE, explained_summary(layers), _said(found, layers, layer)


def _needed(found: Pass, layer: int) -> Component:
    """What has to be there for something to be shown."""
    if not found.about.order.tokens:
        words = "Shows how well experts can be predicted from tokens, for a pass that kept "
        return html.P([words, "every token’s routing."], className="quiet")
    train = html.A("Train on this layer’s tokens", href=_table(found, layer))
    return html.P(["No model predicts this pass’ experts yet. ", train, "."], className="quiet")


def _said(found: Pass, layers: Sequence[Explained], layer: int) -> list[Component]:
    """Where the models are, and which of them know labels."""
    same = len({each.labels for each in layers}) == 1
    parts: list[Component | str] = ["Each layer by its newest training: "]
    for each in layers:
        address = links.to(f"/predict?step=train&training={each.training}")
        known = "" if same or not each.labels else f" (knows {_words(each)} too)"
        parts += [html.A(f"layer {each.layer + 1}", href=address), known, ", "]
    parts[-1] = "."
    if same and layers[0].labels:
        parts += [f" They know {_words(layers[0])} too."]
    if layer not in {each.layer for each in layers}:
        parts += [" ", html.A(f"Train on layer {layer + 1}", href=_table(found, layer)), "."]
    return [html.P(parts, className="quiet")]


def _words(each: Explained) -> str:
    return f"the document’s {' and '.join(each.labels)}"


def _table(found: Pass, layer: int) -> str:
    return links.to(f"/predict?table=router.{found.about.id}.{layer}")


def register(app: Dash, analyst: Analyst, trainings: Trainings) -> None:
    """Draws what is known."""

    @app.callback(
        Output(ids.EXPLAINED, "figure"),
        Output(ids.EXPLAINED, "style"),
        Output(ids.EXPLAINED_FRAME, "style"),
        Output(ids.EXPLAINED_SUMMARY, "children"),
        Output(ids.EXPLAINED_SAID, "children"),
        Input(ids.EXPERTS_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _draw(asked: Any) -> Any:
        view = still_there(analyst.library, asked)
        if view is None:
            return (no_update,) * _OUTPUTS
        layers = explained(trainings, view.found.about.id)
        theme = THEMES.get(asked.get("theme") or "", LIGHT)
        return drawn(view.found, layers, view.layer, theme)
