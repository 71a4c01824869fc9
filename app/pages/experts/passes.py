"""Which passes there are to choose from, and what stands above the atlas of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html
from dash.development.base_component import Component

from app.components import links
from app.components.attributes import attributes
from app.corpus.counting.counts import Counts
from app.corpus.library import Pass
from app.figures.labels import count_of
from app.pages.experts.address import NOTHING, Asked

_MOST_NAME = 60
_FILES = (
    ("atlas.csv", "Experts, CSV"),
    ("atlas.parquet", "Experts, Parquet"),
    ("labels.csv", "Labels, CSV"),
    ("labels.parquet", "Labels, Parquet"),
    ("tokens.csv", "Tokens, CSV"),
    ("tokens.parquet", "Tokens, Parquet"),
    ("report.html", "Report that opens offline"),
)


def form(passes: Sequence[Pass], asked: Asked) -> Component:
    """Asks for a pass, and for a second one to stand beside it."""
    options = [_option(found) for found in passes]
    nothing = {"label": "nothing", "value": NOTHING}
    return html.Form(
        [
            _choice("run", "Corpus pass", options, asked.run),
            _choice("with", "Beside it", [nothing, *options], asked.beside or NOTHING),
            html.Button("Show", className="primary"),
        ],
        action=links.to("/experts"),
        method="get",
        className="compare-form",
    )


def _choice(name: str, label: str, options: Sequence[Any], value: str) -> Component:
    id_ = f"experts-{name}"
    return html.Div(
        [
            html.Label(label, htmlFor=id_, className="quiet"),
            dbc.Select(id=id_, name=name, options=list(options), value=value, size="sm"),
        ],
        className="choice",
    )


def _option(found: Pass) -> dict[str, str]:
    order = found.about.order
    name = order.name if len(order.name) <= _MOST_NAME else order.name[: _MOST_NAME - 1] + "…"
    parts = [
        name,
        order.model,
        count_of(found.progress.tokens, "token"),
        f"{found.about.created:%Y-%m-%d %H:%M} UTC",
        *([] if found.state.finished else [found.status]),
    ]
    return {"label": " · ".join(parts), "value": found.about.id}


def facts(found: Pass, counts: Counts) -> Component:
    """What a pass is, what it has counted, and its files."""
    about = found.about
    counted = f"{count_of(counts.documents, 'document')}, {count_of(counts.tokens, 'token')}"
    if not found.state.finished:
        counted = f"So far, {counted} ({found.status}); reload the page for what came since"
    revision = str(about.model.get("revision", ""))[:12]
    return html.Div(
        [
            html.P(f"{counted}.", role="status"),
            html.P(
                [
                    f"{about.model.get('id', about.order.model)} · revision {revision} · "
                    f"{about.model.get('dtype', '')} · ",
                    html.Time(
                        f"{about.created:%Y-%m-%d %H:%M} UTC", dateTime=about.created.isoformat()
                    ),
                    f" · up to {count_of(about.order.max_tokens, 'token')} of a document",
                ],
                className="quiet",
            ),
            html.Details(
                [
                    html.Summary("Save", **attributes(aria_label="Save the atlas")),
                    html.Div(
                        [_file(about.id, path, label) for path, label in _FILES],
                        className="menu-items",
                    ),
                ],
                className="menu",
            ),
        ],
        className="atlas-facts",
    )


def _file(id_: str, path: str, label: str) -> Component:
    address = links.to(f"/api/v1/corpora/{id_}/{path}")
    return html.A(label, href=address, download="", className="action")


def none_yet() -> Component:
    """How the first pass is made."""
    return html.Div(
        [
            html.P(
                "Here stands what each expert takes, once a model has read a corpus. "
                "No corpus was read yet."
            ),
            html.P(
                [
                    "Let the model read one on the page ",
                    dcc.Link("Corpora", href=links.to("/corpora")),
                    ", or with ",
                    html.Code("python -m app corpus FILE --label COLUMN"),
                    ". Files are plain text with a document a line, CSV, JSONL or Parquet.",
                ]
            ),
        ],
        className="nothing",
    )
