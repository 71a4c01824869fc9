"""Pieces that the steps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from app.components.attributes import attributes


def field(label: str, control: Any) -> Component:
    """A control below its label."""
    return html.Div([html.Label(label, htmlFor=control.id, className="quiet"), control])


def choice(id_: str, options: Mapping[str, str] | None = None, chosen: str = "") -> Component:
    """A list to choose from: values and their words; the browser fills it where there are none.
    The first one is chosen unless another is to be."""
    found = [
        html.Option(words, value=value, selected="selected" if value == chosen else None)
        for value, words in (options or {}).items()
    ]
    return html.Select(found, id=id_, className="form-select form-select-sm")


def scroller(label: str, content: Component) -> Component:
    """What may be wider than the page; it scrolls by itself, with the keys too."""
    return html.Div(
        content,
        className="scroller",
        tabIndex="0",
        role="region",
        **attributes(aria_label=label),
    )


def step(id_: str, title: str, title_id: str, content: Sequence[Component]) -> Component:
    """One step of the page."""
    return html.Section(
        [html.H2(title, id=title_id, tabIndex="-1"), *content],
        id=id_,
        className="step",
        hidden=True,
        **attributes(aria_labelledby=title_id),
    )
