"""Two analyses side by side: what they share, what changed, what can't be compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids
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
from app.figures.relative import relative_figure
from app.figures.theme import LIGHT, THEMES, Theme
from app.pages.compare.choosing import address, swap
from app.recording.base import RecordedRun, RecordingError, RunNotFoundError
from app.routing.comparison import Comparison, StackComparison, compare


def content(runs: Mapping[str, RecordedRun], asked: Mapping[str, str]) -> Component:
    """Two analyses compared."""
    comparison = compare(runs["a"].trace, runs["b"].trace)
    part = comparison.of(asked["stack"])
    return html.Div(
        [
            _cards(runs),
            html.P(swap(asked), className="run-links"),
            settings_table(comparison.a, comparison.b),
            *_sentences(comparison, part, asked),
            *panels(asked, part),
            *(_tables(part) if part else []),
        ],
        className="compare",
    )


def panels(
    asked: Mapping[str, str] = MappingProxyType({}), part: StackComparison | None = None
) -> list[Component]:
    """Every figure is always there, hidden where there is nothing to show in it."""
    shown = part is not None
    alike = part is not None and part.relation != "other"
    data = {**asked, "stack": part.stack} if part else None
    return [
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
        dcc.Store(id=ids.COMPARED, data=data),
        dcc.Store(id=ids.COMPARE_THEME),
    ]


def _cards(runs: Mapping[str, RecordedRun]) -> Component:
    return html.Div(
        [run_card("a", runs["a"], runs["b"]), run_card("b", runs["b"], runs["a"])],
        className="run-cards",
    )


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
    """The callbacks that draw."""
    app.clientside_callback(
        ClientsideFunction("moescope", "themeNow"),
        Output(ids.COMPARE_THEME, "data"),
        Input(ids.COMPARE_THEME, "id"),
    )

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
