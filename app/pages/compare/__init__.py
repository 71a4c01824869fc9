"""Two recorded runs side by side: what they share, what changed, what can't be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import links
from app.components.corpus_pass import experts_link
from app.corpus.library import Pass
from app.pages.compare import analyses, choosing, passes
from app.pages.compare.opening import Opened, id_of, opened
from app.recording.base import RecordedRun

_INTRODUCTION = (
    "Choose two recorded runs: one text with two models, two texts with one model, one text with "
    "two settings, or two passes over corpora."
)
_UNLIKE = (
    "A text and a pass over a corpus can’t be compared: a text shows where each of its tokens "
    "goes, a pass counts over all of a corpus. Each has its own page:"
)


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; the address names the runs `a` and `b`, and the `stack` or `label` looked
    at."""

    def page(**given: Any) -> html.Div:
        query = links.once(given)
        asked = {name: str(query.get(name) or "").strip() for name in ("a", "b", "stack", "label")}
        runs, problems = opened(analyst, asked)
        if len(runs) == 2 and not problems:
            return _page([_compared(analyst, runs, asked), choosing.another(choosing.form(runs))])
        said = [html.P(problem, className="problem", role="alert") for problem in problems]
        # Dash learns from a page without runs which components there are.
        empty = html.Div([*analyses.panels(), *passes.panels()], hidden=True)
        return _page([html.P(_INTRODUCTION), choosing.form(runs), *said, empty])

    return page


def _page(parts: list[Component]) -> html.Div:
    return html.Div([html.H1("Compare two runs"), *parts], className="compare")


def _compared(analyst: Analyst, runs: Mapping[str, Opened], asked: Mapping[str, str]) -> Component:
    a, b = runs["a"], runs["b"]
    if isinstance(a, RecordedRun) and isinstance(b, RecordedRun):
        return analyses.content({"a": a, "b": b}, asked)
    if isinstance(a, Pass) and isinstance(b, Pass):
        return passes.content(analyst.library, a, b, asked)
    ways = [html.Li(_way(name, run)) for name, run in runs.items()]
    return html.Div([html.P(_UNLIKE, role="status"), html.Ul(ways)], className="comparable")


def _way(name: str, run: Opened) -> Component:
    if isinstance(run, Pass):
        return experts_link(id_of(run), f"Open the experts of {name}: {run.about.order.name}")
    title = run.summary.name or run.summary.text
    return dcc.Link(f"Open the text of {name}: {title}", href=links.to(f"/runs/{id_of(run)}"))


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks of all parts."""
    for part in (choosing, analyses, passes):
        part.register(app, analyst)
