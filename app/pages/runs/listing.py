"""The list of runs: one row each, or a line that says why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html
from dash.development.base_component import Component

from app.components import ids, links
from app.components.attributes import attributes
from app.components.message import sentence
from app.components.thumbnail import HEIGHT, WIDTH, thumbnail, thumbnail_text
from app.figures.labels import count_of, number
from app.pages.runs.address import Asked, write
from app.recording.base import (
    SORTS,
    InvalidQueryError,
    Page,
    Query,
    Recorder,
    RecordingError,
    RunSummary,
)

PAGE = 50
# What these are sorted by stands in a column anyway.
_OWN_COLUMN = ("created", "tokens")
_WAITING = {"pending": "waiting", "failed": "failed"}


@dataclass(frozen=True)
class Listing:
    """What the page shows: lines and rows, and the cursor of what comes after."""

    children: list[Component]
    following: str | None = None


def listing(recorder: Recorder, asked: Asked, chosen: Sequence[str] = ()) -> Listing:
    """A part of the history as the address asks for it; `chosen` runs keep their check mark."""
    told = list(asked.refused)
    try:
        try:
            page = recorder.history(PAGE, asked.cursor, asked.query)
        except InvalidQueryError as error:
            if asked.cursor is None:
                raise
            told.append(f"{sentence(error)} This is the first page.")
            asked = replace(asked, cursor=None)
            page = recorder.history(PAGE, None, asked.query)
    except (RecordingError, InvalidQueryError) as error:
        return Listing([*_lines(told), _unreadable(error)])
    lines = _lines([*told, *([page.notice] if page.notice else [])])
    if not page.runs:
        return Listing([*lines, _nothing(page, asked)], page.next)
    return Listing([*lines, table(page.runs, asked.query, chosen)], page.next)


def _lines(told: Sequence[str]) -> list[Component]:
    return [html.P(f"{line.rstrip('.')}.", className="told", role="status") for line in told]


def _unreadable(error: Exception) -> html.Div:
    again = html.Button("Try again", className="primary", **attributes(data_runs="again"))
    return html.Div([html.P(sentence(error)), again], className="nothing", role="alert")


def _nothing(page: Page, asked: Asked) -> html.Div:
    if page.next:
        # The store finds more than matches, and what is left of a part may be nothing.
        return html.Div(
            html.P("Nothing in this part matches; older runs may."), className="nothing"
        )
    if asked.cursor:
        return html.Div(html.P("There are no older runs."), className="nothing")
    if asked.query == Query(sort=asked.query.sort, descending=asked.query.descending):
        live = dcc.Link("live page", href=links.to("/"))
        return html.Div(
            [html.P("No runs yet."), html.P(["Type a text on the ", live, "."])],
            className="nothing",
        )
    clear = html.Button("Clear the filter", className="primary", **attributes(data_runs="clear"))
    return html.Div([html.P("No run matches."), clear], className="nothing")


def table(runs: Sequence[RunSummary], query: Query, chosen: Sequence[str] = ()) -> html.Table:
    """A row per run; a column for the metric that the query sorts by, if no other shows it."""
    metric = [] if query.sort in _OWN_COLUMN else [SORTS[query.sort]]
    heads = ["Load", "Text", "Model", "Tokens", *metric, "Size", "Status", "Recorded (UTC)"]
    return html.Table(
        [
            html.Thead(
                html.Tr(
                    [
                        html.Th(html.Span("Select", className="visually-hidden")),
                        *[html.Th(name, className=_column(name)) for name in heads],
                    ]
                )
            ),
            html.Tbody([_row(run, query, bool(metric), run.run_id in chosen) for run in runs]),
        ],
        className="runs",
    )


def _column(name: str) -> str:
    return "number" if name in (*SORTS.values(), "Size") else ""


def _row(run: RunSummary, query: Query, metric: bool, checked: bool) -> html.Tr:
    waits = run.status in _WAITING
    value = [_cell(metric_text(run), "number value", SORTS[query.sort])] if metric else []
    return html.Tr(
        [
            html.Td(
                dbc.Checkbox(
                    id={"type": ids.RUN_CHECK, "index": run.run_id},
                    value=checked,
                    label=f"Select {title(run)}",
                    label_class_name="visually-hidden",
                ),
                className="check",
            ),
            html.Td(_picture(run.load), className="load"),
            html.Td(_about(run, query), className="about"),
            html.Td([run.model, html.Small(" + ".join(run.stacks))], className="which"),
            _cell(f"{run.tokens:,}", "number tokens", "tokens"),
            *value,
            _cell(size_text(run.size), "number size"),
            html.Td(
                [_WAITING.get(run.status, "recorded"), html.Small(run.detail)],
                className=f"state {run.status}",
            ),
            html.Td(
                html.Time(f"{run.created:%Y-%m-%d %H:%M}", dateTime=run.created.isoformat()),
                className="created",
            ),
        ],
        id={"type": ids.RUN_ROW, "index": run.run_id},
        # What the bar needs to know of the runs that are chosen.
        **attributes(
            data_waits="true" if waits else "",
            data_kind=run.kind,
            data_name=title(run),
            data_tags=",".join(run.tags),
        ),
    )


def _cell(text: str, kind: str, unit: str = "") -> html.Td:
    return html.Td(text, className=kind, **(attributes(data_unit=unit) if unit else {}))


def _picture(code: str) -> Component:
    image = thumbnail(code)
    if image is None:
        return html.Span("–", className="quiet")
    return html.Img(src=image, alt=thumbnail_text(code), width=WIDTH, height=HEIGHT)


def _about(run: RunSummary, query: Query) -> list[Any]:
    corpus = run.kind == "corpus"
    page = f"/experts?run={run.run_id}" if corpus else f"/runs/{run.run_id}"
    renamed = bool(run.name) and run.name != run.text
    return [
        dcc.Link(title(run), href=links.to(page)),
        *([html.Small(run.text or "(no text)", className="text")] if renamed else []),
        *([html.Small(corpus_text(run))] if corpus else []),
        *(
            [html.Span([_chip(tag, query) for tag in run.tags], className="tags")]
            if run.tags
            else []
        ),
    ]


def _chip(tag: str, query: Query) -> html.A:
    return html.A(
        tag,
        href=links.to("/runs") + write(replace(query, tag=tag)),
        className="tag",
        title=f"Runs with the tag {tag}",
        **attributes(data_runs="go"),
    )


def title(run: RunSummary) -> str:
    """What a run is called: its name, else its text's beginning."""
    return run.name or run.text or "(no text)"


def corpus_text(run: RunSummary) -> str:
    """What a run is that is a pass over a corpus."""
    read = "" if run.documents is None else f", {count_of(run.documents, 'document')}"
    return f"corpus pass{read}"


def size_text(size: int | None) -> str:
    """Bytes as kB (1,000), a dash where not known."""
    if size is None:
        return "–"
    return "under 1 kB" if 0 < size < 1000 else f"{round(size / 1000):,} kB"


def metric_text(run: RunSummary) -> str:
    """The metric that the list is sorted by, a dash where not known."""
    return "–" if run.value is None else number(run.value)
