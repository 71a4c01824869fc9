"""Two recorded runs side by side: what they share, what changed, what can't be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.components.compared import (
    alignment_text,
    changes_summary,
    changes_table,
    difference_summary,
    layers_table,
    means_table,
    run_card,
    settings_table,
)
from app.components.downloads import Picture
from app.components.panel import CONFIG, HIDDEN, VISIBLE, frame, panel, sized
from app.figures.changes import changes_figure
from app.figures.difference import difference_figure
from app.figures.labels import count_of
from app.figures.relative import relative_figure
from app.figures.theme import LIGHT, THEMES, Theme
from app.recording.base import RecordedRun, RecordingError, RunNotFoundError, RunSummary
from app.routing.comparison import Comparison, StackComparison, compare

_OFFERED = 50
_MOST_LABEL = 60
_INTRODUCTION = (
    "Choose two recorded runs: one text with two models, two texts with one model, or one text "
    "with two settings."
)


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; the address names the runs `a` and `b`, and the `stack` looked at."""

    def page(**given: Any) -> html.Div:
        query = links.once(given)
        asked = {name: str(query.get(name) or "").strip() for name in ("a", "b", "stack")}
        runs, problems = _opened(analyst, asked)
        said = [html.P(problem, className="problem", role="alert") for problem in problems]
        if len(runs) < 2 or problems:
            return _page([html.P(_INTRODUCTION), _form(runs), *said], asked, None, None)
        comparison = compare(runs["a"].trace, runs["b"].trace)
        part = comparison.of(asked["stack"])
        settings = settings_table(comparison.a, comparison.b)
        others = [_another(_form(runs))]
        return _page([_cards(runs), _between(asked), settings], asked, comparison, part, others)

    return page


def _opened(analyst: Analyst, asked: Mapping[str, str]) -> tuple[dict[str, RecordedRun], list[str]]:
    """The runs that can be opened, and what is wrong with the others."""
    runs: dict[str, RecordedRun] = {}
    problems = []
    for name in ("a", "b"):
        if not asked[name]:
            continue
        try:
            runs[name] = analyst.recorded(asked[name])
        except RunNotFoundError:
            problems.append(f"Run {name}: there is no such run. It may have been deleted.")
        except RecordingError as error:
            problems.append(f"Run {name}: {str(error).rstrip('.')}.")
    if len(runs) == 2 and runs["a"].summary.run_id == runs["b"].summary.run_id:
        problems.append("Run a and run b are the same run. Choose another for one of them.")
    return runs, problems


def _page(
    head: Sequence[Component],
    asked: Mapping[str, str],
    comparison: Comparison | None,
    part: StackComparison | None,
    foot: Sequence[Component] = (),
) -> html.Div:
    """Every part is always there, hidden where there is nothing to show in it."""
    shown = part is not None
    alike = part is not None and part.relation != "other"
    data = {**asked, "stack": part.stack} if part else None
    return html.Div(
        [
            html.H1("Compare two runs"),
            *head,
            *(_sentences(comparison, part, asked) if comparison else []),
            html.Div(
                panel(
                    "changes",
                    "Which tokens changed expert",
                    "Aligned tokens × layers. Quiet: the same expert. Coloured: a’s expert → b’s, "
                    "in the colour of b’s; × is dropped. Hatched, a: or b: — only that run has "
                    "the token.",
                    html.Div(
                        dcc.Graph(id=ids.CHANGES, config=CONFIG, responsive=False),
                        className="scroller changes-frame",
                        tabIndex="0",
                        role="group",
                        **attributes(aria_label="Changed experts"),
                    ),
                    ids.CHANGES_SUMMARY,
                    (Picture(ids.CHANGES, "changes"),),
                ),
                id=ids.CHANGES_PANEL,
                style=VISIBLE if alike else HIDDEN,
            ),
            html.Div(
                panel(
                    "difference",
                    "Difference of the load",
                    "Share of the assignments in b less that in a, in percentage points, over "
                    "all tokens. Blue is more in b, orange less. The scale is fixed.",
                    frame(ids.DIFFERENCE, "load-frame", "Difference of the load"),
                    ids.DIFFERENCE_SUMMARY,
                    (Picture(ids.DIFFERENCE, "load-difference"),),
                ),
                id=ids.DIFFERENCE_PANEL,
                style=VISIBLE if alike else HIDDEN,
            ),
            html.Div(
                panel(
                    "relative",
                    "Measures over relative depth",
                    "a is solid with dots, b dashed with squares. The numbers stand in the "
                    "tables below.",
                    frame(ids.RELATIVE, "measures-frame", "Measures over relative depth"),
                    pictures=(Picture(ids.RELATIVE, "measures-by-depth"),),
                ),
                id=ids.RELATIVE_PANEL,
                style=VISIBLE if shown and not alike else HIDDEN,
            ),
            *(_tables(part) if part else []),
            *foot,
            dcc.Store(id=ids.COMPARED, data=data),
            dcc.Store(id=ids.COMPARE_THEME),
        ],
        className="compare",
    )


def _cards(runs: Mapping[str, RecordedRun]) -> Component:
    return html.Div(
        [run_card("a", runs["a"], runs["b"]), run_card("b", runs["b"], runs["a"])],
        className="run-cards",
    )


def address(asked: Mapping[str, str], **changes: str) -> str:
    """This page with these runs and stack."""
    query = {name: value for name, value in {**asked, **changes}.items() if value}
    return links.to(f"/compare?{urlencode(query)}")


def _between(asked: Mapping[str, str]) -> Component:
    swapped = address(asked, a=asked["b"], b=asked["a"])
    return html.P(dcc.Link("Swap a and b", href=swapped), className="run-links")


def _sentences(
    comparison: Comparison, part: StackComparison | None, asked: Mapping[str, str]
) -> list[Component]:
    said = [html.P(text) for text in comparison.says]
    if part is None:
        said.append(html.P("The two runs have no stack in common."))
    else:
        said = [*[html.P(text) for text in part.says], html.P(alignment_text(part)), *said]
    return [
        *([_stacks(comparison, part, asked)] if part and len(comparison.stacks) > 1 else []),
        html.Section(
            [html.H2("What can be compared", id="comparable-title"), *said],
            className="panel comparable",
            **attributes(aria_labelledby="comparable-title"),
        ),
    ]


def _stacks(comparison: Comparison, part: StackComparison, asked: Mapping[str, str]) -> Component:
    return html.Nav(
        [
            html.Span(each.stack.capitalize(), **attributes(aria_current="true"))
            if each is part
            else dcc.Link(each.stack.capitalize(), href=address(asked, stack=each.stack))
            for each in comparison.stacks
        ],
        className="stacks",
        **attributes(aria_label="Stack"),
    )


def _tables(part: StackComparison) -> list[Component]:
    return [
        panel(
            "by-layer",
            "Changes per layer",
            "Distance is the mean Jensen–Shannon divergence of the router’s probabilities, 0 is "
            "equal, 1 nothing in common. Information says how far the choice in a tells that in "
            "b; shuffled tokens give the chance level.",
            changes_table(part),
        ),
        panel(
            "measures",
            "Measures compared",
            "n is the number of tokens that a value rests on; few tokens make large differences "
            "by chance.",
            html.Div(
                [
                    means_table(part),
                    html.Details([html.Summary("Layer by layer"), layers_table(part)]),
                ]
            ),
        ),
    ]


def _form(runs: Mapping[str, RecordedRun]) -> Component:
    """Asks for two runs; a callback fills in the recent ones."""

    def choice(id_: str, name: str) -> html.Div:
        run = runs.get(name)
        known = [_option(run.summary)] if run else []
        value = run.summary.run_id if run else ""
        return html.Div(
            [
                html.Label(f"Run {name}", htmlFor=id_, className="quiet"),
                dbc.Select(
                    id=id_,
                    name=name,
                    options=known,
                    value=value,
                    placeholder="Choose a run",
                    size="sm",
                ),
            ],
            className="choice",
        )

    return html.Form(
        [
            choice(ids.COMPARE_A, "a"),
            choice(ids.COMPARE_B, "b"),
            html.Button("Compare", className="primary"),
        ],
        action=links.to("/compare"),
        method="get",
        className="compare-form",
    )


def _another(form: Component) -> Component:
    return html.Section(
        [html.H2("Compare others", id="others-title"), form],
        className="panel others",
        **attributes(aria_labelledby="others-title"),
    )


def _option(run: RunSummary) -> dict[str, str]:
    text = run.name or run.text
    short = text if len(text) <= _MOST_LABEL else text[: _MOST_LABEL - 1] + "…"
    stacks = "+".join(run.stacks)
    about = [run.model, count_of(run.tokens, "token"), stacks, f"{run.created:%Y-%m-%d %H:%M} UTC"]
    return {"label": " · ".join([short, *filter(None, about)]), "value": run.run_id}


def offered(analyst: Analyst, *kept: list[dict[str, str]]) -> tuple[list[dict[str, str]], ...]:
    """The recent runs as options after those that a select has already."""
    try:
        recent = [_option(run) for run in analyst.recorder.history(_OFFERED).runs]
    except RecordingError:
        recent = []
    found = []
    for options in kept:
        there = {option["value"] for option in options}
        found.append([*options, *(each for each in recent if each["value"] not in there)])
    return tuple(found)


def drawn(analyst: Analyst, asked: Mapping[str, str], theme: Theme) -> tuple[Any, ...]:
    """The figures with their styles, and the first two in words; unchanged where not drawn."""
    try:
        a, b = (analyst.recorded_trace(asked[name]) for name in ("a", "b"))
    except (RunNotFoundError, RecordingError):
        # Deleted since the page was opened: what stands there stays.
        return (no_update,) * 7
    comparison = compare(a, b)
    part = comparison.of(asked["stack"])
    assert part is not None
    changes = changes_figure(comparison, part, theme)
    difference = difference_figure(part, theme)
    if changes is None or difference is None:
        return *(no_update,) * 5, *sized(relative_figure(part, theme))
    return (
        changes,
        *sized(difference),
        changes_summary(comparison, part),
        difference_summary(part),
        no_update,
        no_update,
    )


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that draw, and that list the recent runs."""
    app.clientside_callback(
        ClientsideFunction("moescope", "themeNow"),
        Output(ids.COMPARE_THEME, "data"),
        Input(ids.COMPARE_THEME, "id"),
    )

    @app.callback(
        Output(ids.COMPARE_A, "options"),
        Output(ids.COMPARE_B, "options"),
        Input(ids.COMPARE_A, "id"),
        State(ids.COMPARE_A, "options"),
        State(ids.COMPARE_B, "options"),
    )
    def _recent(_id: Any, of_a: Any, of_b: Any) -> Any:
        return offered(analyst, of_a, of_b)

    @app.callback(
        Output(ids.CHANGES, "figure"),
        Output(ids.DIFFERENCE, "figure"),
        Output(ids.DIFFERENCE, "style"),
        Output(ids.CHANGES_SUMMARY, "children"),
        Output(ids.DIFFERENCE_SUMMARY, "children"),
        Output(ids.RELATIVE, "figure"),
        Output(ids.RELATIVE, "style"),
        Input(ids.COMPARE_THEME, "data"),
        State(ids.COMPARED, "data"),
        prevent_initial_call=True,
    )
    def _draw(theme: Any, asked: Any) -> Any:
        if not asked:
            return (no_update,) * 7
        return drawn(analyst, asked, THEMES.get(theme or "", LIGHT))
