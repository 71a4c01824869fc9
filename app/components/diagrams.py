"""The diagrams of one analysis, and the one callback that draws them, live or recorded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from fastapi import APIRouter, Body, Response
from plotly.io.json import to_json_plotly

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.components.controls import Choices, live_link, task_of
from app.components.details import details
from app.components.downloads import Picture
from app.components.laps import Laps
from app.components.markup import markup
from app.components.message import sentence
from app.components.notes import notes
from app.components.panel import drawing, panel
from app.components.summaries import summaries
from app.figures.flow import flow_figure
from app.figures.grid import grid_figure
from app.figures.load import load_figure
from app.figures.selection import Selection
from app.figures.theme import LIGHT, THEMES, Theme
from app.recording.base import RecordingError, RunNotFoundError
from app.routing.capacity import own_capacity, with_capacity
from app.routing.errors import BusyError, ModelNotReadyError, RoutingError
from app.routing.trace import RoutingTrace, Stack

log = logging.getLogger(__name__)

# So long an answer about a generation waits for its next token.
_TOKEN_SECONDS = 0.5
_BUSY = "Many are typing here just now. Your text is kept and comes next."
_MOVED = "{}, move with the arrow keys"
_PLACES = ((ids.FLOW, ids.LOAD, ids.GRID), (ids.FLOW_2, ids.LOAD_2, ids.GRID_2))


def diagrams(
    request: dict[str, Any] | None, recorded: dict[str, Any] | None, pinned: Any = None
) -> list[Component]:
    """Flows, selection, token grid and load. `request` is drawn at first."""
    return [
        dcc.Store(id=ids.REQUEST, data=request),
        dcc.Store(id=ids.OUTCOME),
        dcc.Store(id=ids.RECORDED, data=recorded),
        dcc.Store(id=ids.SETTLED),
        dcc.Store(id=ids.SELECTION, data=pinned),
        dcc.Store(id=ids.COMMIT),
        dcc.Store(id=ids.RECEIPT),
        dcc.Store(id=ids.THEME),
        dcc.Store(id=ids.VISITOR),
        dcc.Interval(id=ids.POLL, interval=1000, disabled=True),
        html.Div(
            [
                panel(
                    "flows",
                    "Which expert takes each token",
                    "Tokens on the left, then one column per router layer. A ribbon has the "
                    "colour of the expert it goes to; its height is the number of tokens. "
                    "Hatched and × is dropped, + is generated.",
                    html.Div(
                        [
                            html.P(id=ids.NOTES, className="caption notes"),
                            drawing(ids.FLOW, "flow-frame", "Flows"),
                            html.Div(
                                [
                                    html.H3("Decoder"),
                                    drawing(ids.FLOW_2, "flow-frame", "Flows of the decoder"),
                                ],
                                id=ids.SECOND_FLOW,
                                className="second",
                                hidden=True,
                                **attributes(data_figure=ids.FLOW_2),
                            ),
                        ]
                    ),
                    ids.FLOW_SUMMARY,
                    (
                        Picture(ids.FLOW, "flow"),
                        Picture(ids.FLOW_2, "flow-decoder", "decoder"),
                    ),
                    "flow",
                ),
                html.Aside(
                    html.Div(id=ids.SELECTED, **attributes(aria_live="polite")),
                    className="panel selected",
                    **attributes(aria_label="Selection"),
                ),
            ],
            className="row-flow",
        ),
        panel(
            "tokens",
            "Tokens × layers",
            "The expert of each token in each layer; stronger colour, higher probability; "
            "hatched and × is dropped, + is generated. Arrow keys move the selection.",
            html.Div(
                [
                    drawing(ids.GRID, "grid-frame", _MOVED.format("Token grid"), ids.GRID_FRAME),
                    html.Div(
                        [
                            html.H3("Decoder"),
                            drawing(
                                ids.GRID_2,
                                "grid-frame",
                                _MOVED.format("Token grid of the decoder"),
                                ids.GRID_FRAME_2,
                            ),
                        ],
                        id=ids.SECOND_GRID,
                        className="second",
                        hidden=True,
                        **attributes(data_figure=ids.GRID_2),
                    ),
                ]
            ),
            ids.GRID_SUMMARY,
            (
                Picture(ids.GRID, "tokens-by-layer"),
                Picture(ids.GRID_2, "tokens-by-layer-decoder", "decoder"),
            ),
            "tokens_by_layer",
        ),
        html.Div(
            [
                panel(
                    "load",
                    "Load of each expert",
                    "Share of the assignments that each expert took. The scale is fixed; "
                    "1/N is balance.",
                    html.Div(
                        [
                            drawing(ids.LOAD, "load-frame", "Load"),
                            html.Div(
                                [
                                    html.H3("Decoder"),
                                    drawing(ids.LOAD_2, "load-frame", "Load of the decoder"),
                                ],
                                id=ids.SECOND_LOAD,
                                className="second",
                                hidden=True,
                                **attributes(data_figure=ids.LOAD_2),
                            ),
                        ],
                        className="loads",
                    ),
                    ids.LOAD_SUMMARY,
                    (
                        Picture(ids.LOAD, "load"),
                        Picture(ids.LOAD_2, "load-decoder", "decoder"),
                    ),
                    "load",
                ),
                panel(
                    "dominant",
                    "Dominant experts",
                    "The expert that most tokens chose, and the one that the router favoured "
                    "on average; they need not be the same.",
                    html.Div(id=ids.DOMINANT),
                ),
            ],
            className="row-load row-dominant",
        ),
    ]


def obtain(
    analyst: Analyst, request: Mapping[str, Any], preview: bool = True, patient: bool = True
) -> RoutingTrace:
    """The trace a request asks for: a recorded run's, or that of a text.

    A `preview` may be approximate, and says so, where exact would be too slow to play with.
    Raises RoutingError, RunNotFoundError or RecordingError; without `patient` BusyError too.
    """
    if "run" in request:
        trace = analyst.recorded_trace(str(request["run"]))
        capacity = (request.get("settings") or {}).get("capacity")
        return trace if capacity is None else with_capacity(trace, int(capacity))
    task, model = task_of(str(request["text"]), request), str(request["model"])
    if task.generation is not None:
        visitor, attempt = str(request.get("visitor", "")), int(request.get("attempt") or 0)
        if made := analyst.streams.result(visitor, task, model, attempt):
            return made
    if preview:
        return analyst.preview(task, model, patient)
    return analyst.trace(task, model, patient=patient)


def shown_stacks(trace: RoutingTrace, view: Any) -> tuple[Stack, ...]:
    """The stacks of a trace that a view shows: one, or both."""
    if view == "both":
        return trace.stacks
    return (trace.stacks[-1],) if view == "decoder" else (trace.stacks[0],)


def draw(analyst: Analyst, request: Mapping[str, Any], laps: Laps) -> dict[str, Any]:
    """What a page asks for: `outcome` says what became of it; with something to show there
    are `figures` by the ids of their places, and `words`, as HTML, likewise.

    Without these the diagrams stay as they are. Tells `laps` its stages. Raises KeyError for a
    request that no page makes.
    """
    try:
        trace, done = _so_far(analyst, request)
    except ModelNotReadyError:
        message = loading_text(analyst, str(request["model"]))
        return {"outcome": {"state": "loading", "message": message}}
    except BusyError:
        return {"outcome": {"state": "busy", "message": _BUSY}}
    except (RoutingError, RunNotFoundError, RecordingError) as error:
        facts = _facts(analyst, request)
        return {"outcome": {**facts, "state": "error", "message": sentence(error)}}
    facts = _facts(analyst, request) or _recorded_facts(analyst, request)
    if trace is None:
        return {"outcome": {**facts, "state": "generating", "made": -1, "message": ""}}
    laps("trace")
    theme = THEMES.get(str(request.get("theme")), LIGHT)
    selection = request.get("selection")
    stacks = shown_stacks(trace, request.get("view"))
    with analyst.queue.turn():
        figures = _figures(trace, theme, selection, stacks)
        laps("figures")
        words = _words(trace, theme, selection, stacks)
        laps("words")
    sequence = trace.sequences[trace.stacks[-1]]
    took = f"{laps.whole * 1000:.0f} ms"
    outcome = {
        **facts,
        "state": "shown" if done else "generating",
        "message": took if done else f"{int(sequence.generated.sum())} tokens so far",
        "made": len(sequence),
        "address": _address(trace, request),
        "look": _look(trace, request),
        "stacks": list(stacks),
        "sizes": [
            {"tokens": len(trace.sequences[stack]), "layers": len(trace.stack_layers(stack))}
            for stack in stacks
        ],
    }
    return {"outcome": outcome, "figures": figures, "words": words}


def _address(trace: RoutingTrace, request: Mapping[str, Any]) -> str:
    """The address that opens what is looked at, but for the selection."""
    if "run" not in request:
        return live_link(trace.text, trace.model.id, Choices.of_request(request))
    look = _look(trace, request)
    return links.to(f"/runs/{request['run']}" + (f"?{look}" if look else ""))


def _look(trace: RoutingTrace, request: Mapping[str, Any]) -> str:
    """What a run's address needs to open at this view, and at a what-if capacity."""
    now = Choices.of_request(request)
    look: dict[str, Any] = {}
    if now.view != Choices.of_trace(trace).view:
        look["view"] = now.view
    if "run" in request and now.capacity is not None:
        look["capacity"] = now.capacity
    return urlencode(look)


def _so_far(analyst: Analyst, request: Mapping[str, Any]) -> tuple[RoutingTrace | None, bool]:
    """The trace, and whether it is complete: a generation is drawn while it goes on."""
    if "run" in request or "generate" not in (request.get("settings") or {}):
        return obtain(analyst, request, patient=False), True
    task, model = task_of(str(request["text"]), request), str(request["model"])
    task.check(analyst.max_tokens)
    analyst.registry.get(model)
    visitor, attempt = str(request.get("visitor", "")), int(request.get("attempt") or 0)
    known = int(request.get("known", -1))
    return analyst.streams.follow(visitor, task, model, attempt, known, _TOKEN_SECONDS)


def _facts(analyst: Analyst, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls must know of the model, once it is loaded."""
    loaded = analyst.registry.loaded(str(request.get("model")))
    if loaded is None or "run" in request:
        return {}
    return {"kind": loaded.kind, "generates": loaded.generates, "capacity": loaded.capacity}


def _recorded_facts(analyst: Analyst, request: Mapping[str, Any]) -> dict[str, Any]:
    if "run" not in request:
        return {}
    trace = analyst.recorded_trace(str(request["run"]))
    return {
        "kind": "encoder-decoder" if len(trace.stacks) > 1 else "one-stack",
        "generates": False,
        "capacity": own_capacity(trace),
        # Another one than the model's own, if it was run at that.
        "usual": trace.provenance.get("capacity"),
    }


def _figures(
    trace: RoutingTrace, theme: Theme, selection: Any, stacks: tuple[Stack, ...]
) -> dict[str, Any]:
    """The figures in view, by the ids of their places."""
    figures = {}
    for stack, (flow, load, grid) in zip(stacks, _PLACES, strict=False):
        pin = Selection.from_json(selection, trace.stack_layers(stack))
        figures[flow] = flow_figure(trace, theme, pin, stack)
        figures[load] = load_figure(trace, theme, pin, stack)
        figures[grid] = grid_figure(trace, theme, pin, stack)
    return figures


def _words(
    trace: RoutingTrace, theme: Theme, selection: Any, stacks: tuple[Stack, ...]
) -> dict[str, str]:
    """What is said beside the figures, by the ids of its places."""
    pins = {stack: Selection.from_json(selection, trace.stack_layers(stack)) for stack in stacks}
    about = next((stack for stack, pin in pins.items() if pin), stacks[0])
    read = [summaries(trace, stack) for stack in stacks]
    told = (" ".join(parts) for parts in zip(*read, strict=True))
    words = {
        ids.SELECTED: details(trace, theme, pins[about], about),
        ids.NOTES: notes(trace),
        **dict(zip((ids.FLOW_SUMMARY, ids.LOAD_SUMMARY, ids.GRID_SUMMARY), told, strict=True)),
    }
    return {place: markup(said) for place, said in words.items()}


def loading_text(analyst: Analyst, model_id: str) -> str:
    """How far the loading of a model is, in a line."""
    status = analyst.registry.status(model_id)
    size = f" {status.total_bytes / 1e6:,.0f} MB" if status.total_bytes else ""
    if status.done_bytes and status.done_bytes < status.total_bytes:
        size = f" {status.done_bytes / 1e6:,.0f} of{size}"
    return (
        f"Loading {model_id},{size or ' getting ready'}, {status.seconds:.0f} s. Your text is kept."
    )


def route(analyst: Analyst) -> APIRouter:
    """The address that the page's script asks for drawings: a plain route, because a callback
    costs more, in the browser and here, than what it would carry."""
    router = APIRouter(include_in_schema=False)

    @router.post("/api/v1/drawings")
    def _draw(request: Annotated[dict[str, Any], Body()]) -> Response:
        laps = Laps(analyst.queue)
        content = to_json_plotly(draw(analyst, request, laps))
        laps("json")
        told = {"Server-Timing": laps.header()}
        return Response(content, media_type="application/json", headers=told)

    return router


def register(app: Dash) -> None:
    """The callback that tells the page's script that a page has opened."""
    app.clientside_callback(
        ClientsideFunction("moescope", "open"),
        Output(ids.THEME, "data"),
        Output(ids.VISITOR, "data"),
        Input(ids.THEME, "id"),
        State(ids.REQUEST, "data"),
        State(ids.SELECTION, "data"),
        State(ids.RECORDED, "data"),
    )
