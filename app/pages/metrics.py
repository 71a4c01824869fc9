"""What each metric means: docs/metrics.md, a section per anchor."""

from __future__ import annotations

import re
from pathlib import Path

from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from app.components import ids
from app.components.attributes import attributes

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def layout(**_query: str) -> html.Article:
    """The document, with a list of its sections."""
    first, *sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    named = [(name.strip(), text) for name, _, text in (s.partition("\n") for s in sections)]
    return html.Article(
        [
            html.H1(first.partition("\n")[0].removeprefix("# ")),
            dcc.Markdown(first.partition("\n")[2]),
            html.Nav(
                html.Ul([html.Li(html.A(name, href=f"#{anchor(name)}")) for name, _ in named]),
                className="contents",
                **attributes(aria_label="Metrics"),
            ),
            *[_section(name, text) for name, text in named],
            dcc.Store(id=ids.ARTICLE),
        ],
        className="article",
    )


def anchor(heading: str) -> str:
    """The name under which a section can be linked, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _section(name: str, text: str) -> Component:
    return html.Section([html.H2(name), dcc.Markdown(text)], id=anchor(name))


def register(app: Dash) -> None:
    """Goes to the section of the address, which is not there yet when the page loads."""
    app.clientside_callback(
        ClientsideFunction("moescope", "goToSection"),
        Output(ids.ARTICLE, "data"),
        Input(ids.ARTICLE, "id"),
    )
