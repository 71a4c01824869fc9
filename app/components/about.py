"""The «?» behind a measure: its formula, what it means, and what to read it against."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from app.components import links
from app.components.attributes import attributes


def about(
    title: str, formula: str, definition: str, facts: Sequence[str], anchor: str
) -> Component:
    """Opens at a click; `anchor` names the section of docs/metrics.md that tells more."""
    return html.Details(
        [
            html.Summary("?", **attributes(aria_label=f"About {title}")),
            html.Div(
                [
                    html.P(html.Code(formula)),
                    html.P(definition),
                    *[html.P(fact, className="quiet") for fact in facts],
                    html.A("Described in full", href=links.to(f"/metrics#{anchor}")),
                ],
                className="metric-about",
            ),
        ],
        className="metric-help",
    )
