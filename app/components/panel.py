"""A panel with its heading, caption and content, and the frame of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from app.components.attributes import attributes
from app.components.downloads import Picture, figure_menu

_LEAST_WIDTH = 320
HIDDEN, VISIBLE = {"display": "none"}, {"display": "block"}
CONFIG: Any = {
    "displaylogo": False,
    "showSendToCloud": False,
    # Each panel has a menu that saves its figures, in words.
    "displayModeBar": False,
    "doubleClick": False,
}


def panel(
    name: str,
    title: str,
    caption: str,
    content: Component,
    summary: str | None = None,
    pictures: Sequence[Picture] = (),
    recorded: str | None = None,
    about: Component | None = None,
) -> html.Section:
    """A section; `summary` is the id of a text for people who don't see the content.

    Its menu saves the `pictures` in it, and the figure of a run that `recorded` names; `about`
    is the «?» behind its title.
    """
    heading = f"{name}-title"
    title_row: Component = html.H2(title, id=heading)
    if about:
        title_row = html.Div([title_row, about], className="panel-title")
    if pictures or recorded:
        title_row = html.Div(
            [title_row, figure_menu(title, pictures, recorded)], className="panel-head"
        )
    return html.Section(
        [
            title_row,
            html.P(caption, className="caption"),
            content,
            *([html.P(id=summary, className="visually-hidden")] if summary else []),
        ],
        className=f"panel {name}",
        **attributes(aria_labelledby=heading),
    )


def frame(id_: str, name: str, label: str) -> Component:
    """A graph as wide as its frame; on a narrow screen it scrolls inside."""
    return html.Div(
        dcc.Graph(id=id_, config=CONFIG, responsive=True),
        className=f"scroller {name}",
        tabIndex="0",
        role="group",
        **attributes(aria_label=label),
    )


def drawing(id_: str, name: str, label: str, frame_id: str | None = None) -> Component:
    """The place of a live figure, which assets/drawing.js draws, in its frame."""
    given: dict[str, Any] = {"id": frame_id} if frame_id else {}
    return html.Div(
        html.Div(id=id_, className="drawing"),
        className=f"scroller {name}",
        tabIndex="0",
        role="group",
        **attributes(aria_label=label),
        **given,
    )


def sized(figure: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A graph's figure and style: one that follows its frame's width has no height."""
    return figure, {"height": f"{figure['layout']['height']:.0f}px"}


def fitted(figure: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The same for a graph that below its least width scrolls in its frame."""
    least = figure["layout"].get("meta", {}).get("least_width", _LEAST_WIDTH)
    figure, style = sized(figure)
    return figure, {**style, "minWidth": f"{least:.0f}px"}
