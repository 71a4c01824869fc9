"""The history: what was recorded, newest first."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from dash import dcc, html

from app.analysis import Analyst
from app.components.message import message, sentence
from app.recording.base import InvalidCursorError, RecordingError, RunSummary

_PAGE = 50


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; `?cursor=` in the address opens a later part."""

    def page(cursor: str | None = None, **_query: str) -> html.Div:
        try:
            runs, following = analyst.recorder.history(_PAGE, cursor, None, None)
        except (RecordingError, InvalidCursorError) as error:
            return message("Runs", sentence(error))
        if not runs:
            live = dcc.Link("live page", href="/")
            return message("No runs yet", ["Type a text on the ", live, "."])
        more = dcc.Link("Older runs", href=f"/runs?{urlencode({'cursor': following})}")
        return html.Div(
            [
                html.H1("Runs"),
                html.Table(
                    [
                        html.Thead(
                            html.Tr(
                                [
                                    html.Th(name)
                                    for name in ("Text", "Model", "Tokens", "Recorded (UTC)")
                                ]
                            )
                        ),
                        html.Tbody([_row(run) for run in runs]),
                    ],
                    className="runs",
                ),
                *([more] if following else []),
            ],
            className="history",
        )

    return page


def _row(run: RunSummary) -> html.Tr:
    return html.Tr(
        [
            html.Td(dcc.Link(run.text or "(no text)", href=f"/runs/{run.run_id}")),
            html.Td(run.model),
            html.Td(run.tokens),
            html.Td(html.Time(f"{run.created:%Y-%m-%d %H:%M}", dateTime=run.created.isoformat())),
        ]
    )
