"""A page that only says something."""

from __future__ import annotations

from typing import Any

from dash import html


def message(title: str, detail: Any) -> html.Div:
    """A heading and one paragraph: a text or components."""
    return html.Div([html.H1(title), html.P(detail)], className="message")


def sentence(error: Exception) -> str:
    """An error's line as a sentence; names inside it keep their spelling."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
