"""What is drawn once the typing pauses: measures, dominant experts, comparison, all rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids
from app.components.cards import Intervals, cards
from app.components.comparison import comparison_facts
from app.components.diagrams import obtain, shown_stacks
from app.components.dominant import dominant
from app.components.downloads import Picture
from app.components.habits import habits
from app.components.markup import markup
from app.components.panel import HIDDEN, VISIBLE, frame, panel, sized
from app.components.summaries import measures_summary
from app.components.table import rows, table
from app.figures.definitions import stack_values
from app.figures.depth import depth_figure
from app.figures.drops import drops_figure
from app.figures.labels import layer_label
from app.figures.loads import loads_figure
from app.figures.selection import Selection
from app.figures.theme import LIGHT, THEMES, Theme
from app.figures.transition import transition_figure
from app.routing.bootstrap import intervals, sentence_ids
from app.routing.trace import RoutingTrace, Stack


def settled_panels() -> list[Component]:
    """The panels below the diagrams, empty until the first analysis is drawn."""
    return [
        panel(
            "measures",
            "Measures per layer",
            "From the first router layer to the last; dotted is the chance or reference level. "
            "Select a layer to read its values.",
            html.Div(id=ids.CARDS),
            ids.MEASURES_SUMMARY,
            recorded="measures",
        ),
        html.Div(
            panel(
                "drops",
                "Dropped tokens",
                "Share of the layers that dropped the token at each position, and the rate of "
                "each layer.",
                frame(ids.DROPS, "drops-frame", "Dropped tokens by position"),
                pictures=(Picture(ids.DROPS, "dropped-tokens"),),
            ),
            id=ids.DROPS_PANEL,
            style=HIDDEN,
        ),
        panel(
            "comparison",
            "Layers compared",
            "How far the choice in one layer tells that in another. Expert ids of different "
            "layers are unrelated.",
            html.Div(
                [
                    html.Div([_select(ids.LAYER_A, "From"), _select(ids.LAYER_B, "to")]),
                    html.Div(id=ids.COMPARISON),
                    html.Div(
                        [
                            frame(ids.TRANSITION, "transition-frame", "Transition"),
                            frame(ids.DEPTH, "depth-frame", "Information over depth"),
                        ],
                        className="row-load",
                    ),
                    frame(ids.LOADS, "loads-frame", "Load of all layers"),
                ]
            ),
            pictures=(
                Picture(ids.TRANSITION, "transition", "transition"),
                Picture(ids.DEPTH, "information-over-depth", "over depth"),
                Picture(ids.LOADS, "load-of-layers", "load of layers"),
            ),
        ),
        panel(
            "habits",
            "Paths and habits",
            "What recurs in this text: whole paths, tokens that occur again, experts chosen "
            "together.",
            html.Div(id=ids.HABITS),
        ),
        html.Details([html.Summary("All rows"), table()], open=True, className="panel rows"),
        dcc.Store(id=ids.WORDS),
        dcc.Store(id=ids.COMPARED_WORDS),
    ]


def _select(id_: str, label: str) -> html.Span:
    return html.Span(
        [
            html.Label(label, htmlFor=id_, className="quiet"),
            dbc.Select(id=id_, options=[], value=None, size="sm"),
        ],
        className="choice",
    )


def measures(
    analyst: Analyst, settled: Mapping[str, Any], selection: Any, theme: Theme
) -> dict[str, str]:
    """Metric cards, these in words, dominant experts and habits of the stacks in view, as HTML
    by the ids of their places."""
    trace = obtain(analyst, settled)
    stacks = shown_stacks(trace, settled.get("view"))
    several = len(stacks) > 1
    measured: list[Component] = []
    ruling: list[Component] = []
    recurring: list[Component] = []
    told: list[str] = []
    for stack in stacks:
        layers = trace.stack_layers(stack)
        pinned, values = Selection.from_json(selection, layers), stack_values(layers)
        heading = [html.H3(stack.capitalize())] if several else []
        layer = pinned.layer if pinned else None
        given = _intervals(trace, stack, layer)
        measured += [*heading, html.Div(cards(trace, stack, layer, given, theme, values))]
        told.append(measures_summary(layers, values))
        ruling += [*heading, *dominant(trace, stack, theme)]
        recurring += [*heading, *habits(trace, stack)]
    return {
        ids.CARDS: markup(measured),
        ids.MEASURES_SUMMARY: markup(" ".join(told)),
        ids.DOMINANT: markup(ruling),
        ids.HABITS: markup(recurring),
    }


def _intervals(trace: RoutingTrace, stack: Stack, layer: int | None) -> Intervals | None:
    """Of the one layer whose values are shown; a range over all layers has none."""
    if layer is None:
        return None
    sentences = sentence_ids(trace.sequences[stack].tokens)
    return {layer: intervals(trace.stack_layers(stack)[layer], sentences)}


def compared(trace: RoutingTrace, a: Any, b: Any) -> tuple[Stack, int, int] | None:
    """The stack and the two layers that two choices «stack:layer» name, None if they differ
    in stack or name none."""
    places = [str(value).partition(":") for value in (a, b)]
    stacks = {stack for stack, _, _ in places}
    for stack in trace.stacks:
        count = len(trace.stack_layers(stack))
        numbers = [int(layer) for _, _, layer in places if layer.isdecimal()]
        if stacks == {stack} and len(numbers) == 2 and max(numbers) < count:
            return stack, numbers[0], numbers[1]
    return None


def options(trace: RoutingTrace) -> list[dict[str, str]]:
    """Every router layer as a choice."""
    several = len(trace.stacks) > 1
    return [
        {
            "label": f"{stack}, {layer_label(i).lower()}" if several else layer_label(i),
            "value": f"{stack}:{i}",
        }
        for stack in trace.stacks
        for i in range(len(trace.stack_layers(stack)))
    ]


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that draw what follows once the typing pauses.

    Words go to the page as HTML: each component of Dash is looked at again at every change of
    the page, and these are hundreds.
    """
    app.clientside_callback(
        ClientsideFunction("moescope", "words"),
        Input(ids.WORDS, "data"),
        Input(ids.COMPARED_WORDS, "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.TABLE, "rowData"), Input(ids.SETTLED, "data"), prevent_initial_call=True
    )
    def _rows(settled: Any) -> Any:
        return rows(obtain(analyst, settled))

    @app.callback(
        Output(ids.WORDS, "data"),
        Input(ids.SETTLED, "data"),
        Input(ids.SELECTION, "data"),
        Input(ids.THEME, "data"),
        prevent_initial_call=True,
    )
    def _measures(settled: Any, selection: Any, theme: Any) -> Any:
        if not settled:
            return no_update
        return measures(analyst, settled, selection, THEMES.get(theme or "", LIGHT))

    @app.callback(
        Output(ids.DROPS, "figure"),
        Output(ids.DROPS, "style"),
        Output(ids.DROPS_PANEL, "style"),
        Input(ids.SETTLED, "data"),
        Input(ids.THEME, "data"),
        prevent_initial_call=True,
    )
    def _drops(settled: Any, theme: Any) -> Any:
        if not settled:
            return (no_update,) * 3
        trace = obtain(analyst, settled)
        stack = shown_stacks(trace, settled.get("view"))[-1]
        figure = drops_figure(trace, THEMES.get(theme or "", LIGHT), stack)
        return (no_update, no_update, HIDDEN) if figure is None else (*sized(figure), VISIBLE)

    @app.callback(
        Output(ids.LAYER_A, "options"),
        Output(ids.LAYER_B, "options"),
        Output(ids.LAYER_A, "value"),
        Output(ids.LAYER_B, "value"),
        Input(ids.SETTLED, "data"),
        State(ids.LAYER_A, "value"),
        State(ids.LAYER_B, "value"),
        prevent_initial_call=True,
    )
    def _choices(settled: Any, a: Any, b: Any) -> Any:
        trace = obtain(analyst, settled)
        listed = options(trace)
        stack = shown_stacks(trace, settled.get("view"))[0]
        if compared(trace, a, b) is None:
            last = len(trace.stack_layers(stack)) - 1
            a, b = f"{stack}:{max(0, last - 1)}", f"{stack}:{last}"
        return listed, listed, a, b

    @app.callback(
        Output(ids.COMPARED_WORDS, "data"),
        Output(ids.TRANSITION, "figure"),
        Output(ids.TRANSITION, "style"),
        Output(ids.DEPTH, "figure"),
        Output(ids.DEPTH, "style"),
        Output(ids.LOADS, "figure"),
        Output(ids.LOADS, "style"),
        Input(ids.LAYER_A, "value"),
        Input(ids.LAYER_B, "value"),
        Input(ids.THEME, "data"),
        Input(ids.LAYER_A, "options"),
        State(ids.SETTLED, "data"),
        prevent_initial_call=True,
    )
    def _compare(a: Any, b: Any, theme_name: Any, _options: Any, settled: Any) -> Any:
        return compare(analyst, settled, a, b, THEMES.get(theme_name or "", LIGHT))


def compare(analyst: Analyst, settled: Any, a: Any, b: Any, theme: Theme) -> tuple[Any, ...]:
    """Facts and figures about two layers of one stack."""
    if not settled:
        return (no_update,) * 7
    trace = obtain(analyst, settled)
    found = compared(trace, a, b)
    if found is None:
        said = html.P("Two stacks see different tokens: choose two layers of one of them.")
        return ({ids.COMPARISON: markup(said)}, *(no_update,) * 6)
    stack, first, second = found
    return (
        {ids.COMPARISON: markup(comparison_facts(trace, first, second, stack))},
        *sized(transition_figure(trace, first, second, theme, stack)),
        *sized(depth_figure(trace, theme, stack)),
        *sized(loads_figure(trace, first, second, theme, stack)),
    )
