"""A panel with its heading, caption and content, and the frame of a graph."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from app.components.attributes import attributes

HIDDEN, VISIBLE = {"display": "none"}, {"display": "block"}
CONFIG: Any = {
    "displaylogo": False,
    "showSendToCloud": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "svg"},
    "doubleClick": False,
}


def panel(
    name: str, title: str, caption: str, content: Component, summary: str | None = None
) -> html.Section:
    """A section; `summary` is the id of a text for people who don't see the content."""
    heading = f"{name}-title"
    return html.Section(
        [
            html.H2(title, id=heading),
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
