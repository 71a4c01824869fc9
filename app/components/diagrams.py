"""The diagrams of one analysis, and the one callback that draws them, live or recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids
from app.components.attributes import attributes
from app.components.details import details
from app.components.message import sentence
from app.components.summaries import summaries
from app.components.table import rows, table
from app.figures.flow import flow_figure
from app.figures.grid import grid_figure
from app.figures.load import load_figure
from app.figures.measures import MEASURES, measures_figure
from app.figures.selection import Selection
from app.figures.theme import LIGHT, THEMES
from app.recording.base import RecordingError, RunNotFoundError
from app.routing.errors import ModelNotReadyError, RoutingError
from app.routing.trace import RoutingTrace

log = logging.getLogger(__name__)

_CONFIG: Any = {
    "displaylogo": False,
    "showSendToCloud": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "svg"},
    "doubleClick": False,
}
_DRAWN = (
    Output(ids.FLOW, "figure"),
    Output(ids.FLOW, "style"),
    Output(ids.LOAD, "figure"),
    Output(ids.LOAD, "style"),
    Output(ids.MEASURES, "figure"),
    Output(ids.MEASURES, "style"),
    Output(ids.GRID, "figure"),
    Output(ids.SELECTED, "children"),
    Output(ids.FLOW_SUMMARY, "children"),
    Output(ids.LOAD_SUMMARY, "children"),
    Output(ids.GRID_SUMMARY, "children"),
    Output(ids.MEASURES_SUMMARY, "children"),
)


def diagrams(request: dict[str, Any] | None, recorded: dict[str, Any] | None) -> list[Any]:
    """Flows, selection, token grid, load, measures and rows. `request` is drawn at first."""
    return [
        dcc.Store(id=ids.REQUEST, data=request),
        dcc.Store(id=ids.OUTCOME),
        dcc.Store(id=ids.RECORDED, data=recorded),
        dcc.Store(id=ids.SETTLED),
        dcc.Store(id=ids.SELECTION),
        dcc.Store(id=ids.BUSY, data=False),
        dcc.Store(id=ids.COMMIT),
        dcc.Store(id=ids.RECEIPT),
        dcc.Store(id=ids.THEME),
        dcc.Interval(id=ids.PULSE, interval=1000),
        dcc.Interval(id=ids.POLL, interval=1000, disabled=True),
        html.Div(
            [
                _panel(
                    "flows",
                    "Which expert takes each token",
                    "Tokens on the left, then one column per router layer. A ribbon has the "
                    "colour of the expert it goes to; its height is the number of tokens.",
                    _frame(ids.FLOW, "flow-frame", "Flows"),
                    ids.FLOW_SUMMARY,
                ),
                html.Aside(
                    html.Div(id=ids.SELECTED, **attributes(aria_live="polite")),
                    className="panel selected",
                    **attributes(aria_label="Selection"),
                ),
            ],
            className="row-flow",
        ),
        _panel(
            "tokens",
            "Tokens × layers",
            "The expert of each token in each layer; stronger colour, higher probability; "
            "× is a dropped token. Arrow keys move the selection.",
            html.Div(
                dcc.Graph(id=ids.GRID, config=_CONFIG, responsive=False),
                id=ids.GRID_FRAME,
                className="scroller",
                tabIndex="0",
                role="group",
                **attributes(aria_label="Token grid, move with the arrow keys"),
            ),
            ids.GRID_SUMMARY,
        ),
        html.Div(
            [
                _panel(
                    "load",
                    "Load of each expert",
                    "Share of the tokens that each expert took. The scale is fixed; "
                    "1/N is balance.",
                    _frame(ids.LOAD, "load-frame", "Load"),
                    ids.LOAD_SUMMARY,
                ),
                _panel(
                    "measures",
                    "Measures per layer",
                    "From the first router layer to the last; dotted is the reference.",
                    _frame(ids.MEASURES, "measures-frame", "Measures"),
                    ids.MEASURES_SUMMARY,
                    help_=_definitions(),
                ),
            ],
            className="row-load",
        ),
        html.Details([html.Summary("All rows"), table()], open=True, className="panel rows"),
    ]


def _frame(id_: str, name: str, label: str) -> Component:
    """A graph as wide as its frame; on a narrow screen it scrolls inside."""
    return html.Div(
        dcc.Graph(id=id_, config=_CONFIG, responsive=True),
        className=f"scroller {name}",
        tabIndex="0",
        role="group",
        **attributes(aria_label=label),
    )


def _panel(
    name: str,
    title: str,
    caption: str,
    content: Component,
    summary: str,
    help_: Component | None = None,
) -> html.Section:
    heading = f"{name}-title"
    return html.Section(
        [
            html.Div([html.H2(title, id=heading), *([help_] if help_ else [])], className="head"),
            html.P(caption, className="caption"),
            content,
            html.P(id=summary, className="visually-hidden"),
        ],
        className=f"panel {name}",
        **attributes(aria_labelledby=heading),
    )


def _definitions() -> Component:
    rows: list[Component] = []
    for measure in MEASURES:
        rows += [
            html.Dt(measure.title),
            html.Dd([measure.definition, html.Br(), f"Dotted: {measure.reference_text}."]),
        ]
    return html.Span(
        [
            html.Button(
                "?",
                id=ids.MEASURES_HELP,
                className="icon",
                **attributes(aria_label="What these measure"),
            ),
            dbc.Popover(
                [
                    dbc.PopoverHeader("What these measure"),
                    dbc.PopoverBody(
                        [
                            html.P("N experts, T tokens (special ones included), k per token."),
                            html.Dl(rows),
                        ]
                    ),
                ],
                target=ids.MEASURES_HELP,
                trigger="legacy",
                placement="auto",
                className="definitions",
            ),
        ]
    )


def obtain(analyst: Analyst, request: Mapping[str, Any]) -> RoutingTrace:
    """The trace a request asks for: a recorded run's, or that of a text.

    Raises RoutingError, RunNotFoundError or RecordingError.
    """
    if "run" in request:
        return analyst.recorded(str(request["run"])).trace
    return analyst.trace(str(request["text"]), str(request["model"]))


def draw(
    analyst: Analyst,
    request: Mapping[str, Any],
    selection: Mapping[str, Any] | None,
    theme_name: str | None,
) -> tuple[Any, ...]:
    """Everything `_DRAWN` names, and the outcome. On an error the diagrams stay as they are."""
    start = time.perf_counter()
    keep = (no_update,) * len(_DRAWN)
    try:
        trace = obtain(analyst, request)
    except ModelNotReadyError:
        return *keep, _outcome(request, "loading", loading_text(analyst, str(request["model"])))
    except (RoutingError, RunNotFoundError, RecordingError) as error:
        return *keep, _outcome(request, "error", sentence(error))
    stack = trace.stacks[0]
    layers = trace.stack_layers(stack)
    theme = THEMES.get(theme_name or "", LIGHT)
    pinned = Selection.from_json(selection, layers)
    drawn = (
        *_sized(flow_figure(trace, theme, pinned)),
        *_sized(load_figure(trace, theme, pinned)),
        *_sized(measures_figure(trace, theme)),
        grid_figure(trace, theme, pinned),
        details(trace, theme, pinned),
        *summaries(trace),
    )
    outcome = _outcome(request, "shown", f"{(time.perf_counter() - start) * 1000:.0f} ms")
    return *drawn, {**outcome, "tokens": len(trace.sequences[stack]), "layers": len(layers)}


def _sized(figure: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A figure and its frame's style: a graph that follows its frame's width has no height."""
    return figure, {"height": f"{figure['layout']['height']:.0f}px"}


def loading_text(analyst: Analyst, model_id: str) -> str:
    """How far the loading of a model is, in a line."""
    status = analyst.registry.status(model_id)
    size = f" {status.total_bytes / 1e6:,.0f} MB" if status.total_bytes else ""
    if status.done_bytes and status.done_bytes < status.total_bytes:
        size = f" {status.done_bytes / 1e6:,.0f} of{size}"
    return (
        f"Loading {model_id},{size or ' getting ready'}, {status.seconds:.0f} s. Your text is kept."
    )


def _outcome(request: Mapping[str, Any], state: str, message: str) -> dict[str, Any]:
    return {**request, "state": state, "message": message}


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks of the diagrams."""

    @app.callback(
        *_DRAWN,
        Output(ids.OUTCOME, "data"),
        Input(ids.REQUEST, "data"),
        Input(ids.SELECTION, "data"),
        Input(ids.THEME, "data"),
        running=[(Output(ids.BUSY, "data"), True, False)],
    )
    def _draw(request: Any, selection: Any, theme: Any) -> Any:
        if not request:
            return (no_update,) * (len(_DRAWN) + 1)
        return draw(analyst, request, selection, theme)

    @app.callback(
        Output(ids.TABLE, "rowData"), Input(ids.SETTLED, "data"), prevent_initial_call=True
    )
    def _rows(settled: Any) -> Any:
        return rows(obtain(analyst, settled))

    app.clientside_callback(
        ClientsideFunction("moescope", "currentTheme"),
        Output(ids.THEME, "data"),
        Input(ids.THEME, "id"),
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "select"),
        Output(ids.SELECTION, "data"),
        Input(ids.FLOW, "clickData"),
        Input(ids.LOAD, "clickData"),
        Input(ids.GRID, "clickData"),
        State(ids.SELECTION, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "settle"),
        Output(ids.SETTLED, "data"),
        Input(ids.OUTCOME, "data"),
        State(ids.SETTLED, "data"),
        prevent_initial_call=True,
    )
