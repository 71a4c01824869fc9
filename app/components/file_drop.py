"""The place where a file is handed in, and how far it has come; assets/base_files.js sends it."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from app.components.attributes import attributes
from app.components.ids import FileDrop


def file_drop(of: FileDrop, note: str, *others: Component) -> list[Component]:
    """A button that chooses a file, which may be dropped too, and `others`; a `note` on what is
    taken. Dash has no such button: it comes into `place`."""
    return [
        html.Div(
            [
                html.Label("File", htmlFor=of.file),
                html.Span(id=of.place),
                html.Span("or drop one here", className="quiet"),
                *others,
                html.P(note, className="quiet"),
            ],
            id=of.drop,
            className="drop",
        ),
        html.Div(
            [
                html.Progress(id=of.sent, **attributes(aria_label="Sent of the file")),
                html.Span(id=of.sent_words),
                html.Button("Cancel the upload", id=of.cancel, className="action", type="button"),
            ],
            id=of.sending,
            className="sending",
            hidden=True,
        ),
    ]


def words(of: FileDrop) -> list[Component]:
    """What is going on, and what went wrong; empty until there is something to say."""
    return [
        html.P(id=of.status, role="status", className="quiet"),
        html.P(id=of.problem, role="alert", className="problem"),
    ]
