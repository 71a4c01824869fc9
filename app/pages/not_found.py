"""The page for an unknown address."""

from __future__ import annotations

from dash import dcc, html

from app.components import links
from app.components.message import message


def layout(**_query: str) -> html.Div:
    link = dcc.Link("live page", href=links.to("/"))
    return message("There is no such page", ["Go to the ", link, "."])
