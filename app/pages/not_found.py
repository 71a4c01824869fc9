"""The page for an unknown address."""

from __future__ import annotations

from dash import dcc, html


def layout(**_query: str) -> html.Div:
    return html.Div(
        [
            html.H1("There is no such page"),
            html.P(["Go to the ", dcc.Link("live page", href="/"), "."]),
        ],
        className="message",
    )
