"""A pass over a corpus in a few words: where its atlas is, its facts, its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dash import dcc, html
from dash.development.base_component import Component

from app.components import links
from app.components.attributes import attributes
from app.corpus.library import Pass
from app.figures.labels import count_of
from app.recording.base import RunSummary

FILES = (
    ("report.html", "Report that opens offline"),
    ("atlas.csv", "Experts, CSV"),
    ("labels.csv", "Labels, CSV"),
    ("tokens.csv", "Tokens, CSV"),
)
_GONE = (
    "Its counts were removed from this server, so its experts can’t be opened here. The run has "
    "these files."
)


def pass_page(
    summary: RunSummary, found: Pass | None, mlflow_url: str | None = None
) -> Sequence[Component]:
    """The page of a run that is a pass; `found` is the pass where its counts are still here."""
    id_ = summary.run_id
    files = [
        html.A(
            label, href=links.to(f"/api/v1/corpora/{id_}/{name}"), download="", className="action"
        )
        for name, label in FILES
    ]
    here = [
        experts_link(id_, "Open its experts"),
        dcc.Link("Compare with…", href=links.to(f"/compare?a={id_}")),
    ]
    if mlflow_url is not None:
        here.append(html.A("Open in MLflow", href=mlflow_url, target="_blank", rel="noreferrer"))
    return [
        html.H1(summary.name or summary.text),
        html.P("A pass over a corpus: what every expert of the model took of it."),
        *([] if found else [html.P(_GONE, className="told", role="status")]),
        html.Div(here if found else here[2:], className="run-actions"),
        _facts_table(dict(_facts(summary, found))),
        html.H2("Files"),
        html.Div(files, className="run-actions"),
    ]


def experts_link(id_: str, label: str) -> Component:
    """The way to the atlas of a pass, named by its id or its run's."""
    return dcc.Link(label, href=links.to(f"/experts?run={id_}"))


def _facts(summary: RunSummary, found: Pass | None) -> Iterator[tuple[str, str]]:
    if summary.name != summary.text:
        yield "Corpus", summary.text
    yield (
        "Read",
        (f"{count_of(summary.documents or 0, 'document')}, {count_of(summary.tokens, 'token')}"),
    )
    yield "Model", f"{summary.model}, {' + '.join(summary.stacks)}"
    if found:
        yield "Labels", ", ".join(found.about.order.labels) or "none"
    if found and found.digest:
        yield "SHA-256", found.digest
    yield "Begun", f"{summary.created:%Y-%m-%d %H:%M} UTC"


def _facts_table(facts: Mapping[str, str]) -> Component:
    return html.Table(
        html.Tbody(
            [html.Tr([html.Th(name, scope="row"), html.Td(value)]) for name, value in facts.items()]
        ),
        className="compared settings about-pass",
        **attributes(aria_label="About the pass"),
    )
