"""What is looked at beside the text: which stack, what the decoder does, which capacity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import dash_bootstrap_components as dbc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.routing.task import DEFAULT_NEW_TOKENS, Task
from app.routing.trace import RoutingTrace

VIEWS = ("encoder", "decoder", "both")
SOURCES = ("generated", "target")


@dataclass(frozen=True)
class Choices:
    """What the controls say. `view` «encoder» is the stack that reads the text, alone."""

    view: str = "encoder"
    source: str = "generated"
    target: str = ""
    max_new_tokens: int = DEFAULT_NEW_TOKENS
    do_sample: bool = False
    temperature: float = 1.0
    seed: int = 0
    capacity: int | None = None

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Choices:
        """From an address; what can't be read there counts as left out."""
        plain, found = cls(), {}
        for name, kind in (
            ("max_new_tokens", int),
            ("temperature", float),
            ("seed", int),
            ("capacity", int),
        ):
            try:
                found[name] = kind(query[name])
            except (KeyError, TypeError, ValueError):
                continue
        if found.get("capacity", 1) < 1:
            del found["capacity"]
        choices = replace(plain, **found)  # type: ignore[arg-type]
        view, source = query.get("view", ""), query.get("source", "")
        return replace(
            choices,
            view=view if view in VIEWS else plain.view,
            source=source if source in SOURCES else plain.source,
            target=query.get("target", ""),
            do_sample=query.get("do_sample") == "true",
        )

    @classmethod
    def of_trace(cls, trace: RoutingTrace) -> Choices:
        """Those under which a trace would come out again."""
        made = trace.provenance.get("generate", {})
        known = {name: value for name, value in made.items() if name in asdict(cls())}
        beyond = trace.target is not None or bool(made)
        return replace(
            cls(**known),
            view="both" if beyond else "encoder",
            source="target" if trace.target is not None else "generated",
            target=trace.target or "",
            capacity=trace.provenance.get("capacity"),
        )

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Choices:
        """Those that made a request of the page."""
        settings = request.get("settings") or {}
        made = {n: v for n, v in settings.get("generate", {}).items() if n in asdict(cls())}
        return cls(
            **made,
            view=str(request.get("view", "encoder")),
            source="target" if "target" in settings else "generated",
            target=settings.get("target", ""),
            capacity=settings.get("capacity"),
        )

    def query(self) -> str:
        """The part of an address that `of_query` reads; what is as usual is left out."""
        usual = asdict(Choices())
        changed = {name: v for name, v in asdict(self).items() if v != usual[name]}
        return urlencode({n: "true" if v is True else v for n, v in changed.items()})


def pinned(query: Mapping[str, str]) -> dict[str, Any] | None:
    """The selection of an address; what can't be read selects nothing."""
    try:
        found = json.loads(query.get("pin", ""))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def live_link(text: str, model: str, choices: Choices) -> str:
    """The live page with this text, model and what the controls say."""
    query = choices.query()
    asked = f"/?text={quote(text)}&model={quote(model)}" + (f"&{query}" if query else "")
    return links.to(asked)


def task_of(text: str, asked: Mapping[str, Any]) -> Task:
    """The task of a request of the page. Raises InvalidTaskError for what can't be read."""
    return Task.of(text, asked.get("settings") or {})


def controls(choices: Choices, fixed: bool = False) -> html.Div:
    """The controls; scripts show those that go with the model. `fixed` for a recorded run."""
    return html.Div(
        [
            html.Fieldset(
                [
                    html.Legend("Show", className="quiet"),
                    dbc.RadioItems(
                        id=ids.VIEW,
                        options=[{"label": name.capitalize(), "value": name} for name in VIEWS],
                        value=choices.view,
                        inline=True,
                    ),
                ],
                className="view",
            ),
            html.Fieldset(
                [
                    html.Legend("Decoder", className="quiet"),
                    dbc.RadioItems(
                        id=ids.SOURCE,
                        options=[
                            {"label": "generates", "value": "generated"},
                            {"label": "reads a target text", "value": "target"},
                        ],
                        value=choices.source,
                        inline=True,
                    ),
                ],
                className="source",
                disabled=fixed,
            ),
            html.Div(
                [
                    html.Label("Target text", htmlFor=ids.TARGET, className="quiet"),
                    dbc.Textarea(
                        id=ids.TARGET,
                        value=choices.target,
                        rows=1,
                        readonly=fixed,
                        spellcheck="false",
                        placeholder="What the decoder is made to read",
                    ),
                ],
                className="target",
            ),
            _generation(choices, fixed),
            html.Div(
                [
                    html.Label(
                        "Expert capacity",
                        id=ids.CAPACITY_LABEL,
                        htmlFor=ids.CAPACITY,
                        className="quiet",
                    ),
                    dbc.Input(
                        id=ids.CAPACITY,
                        type="range",
                        min=1,
                        max=64,
                        step=1,
                        value=choices.capacity or 64,
                    ),
                ],
                className="capacity",
            ),
            dcc.Store(id=ids.SETTINGS),
            dcc.Store(id=ids.STOPPED),
        ],
        id=ids.CONTROLS,
        className="controls",
        **attributes(
            data_view=choices.view,
            data_source=choices.source,
            data_kind="unknown",
            data_recorded="true" if fixed else "",
        ),
    )


def _generation(choices: Choices, fixed: bool) -> html.Div:
    def number(id_: str, label: str, value: float) -> html.Span:
        # Without bounds: what is out of them is told by the server, not silently withheld.
        box = dbc.Input(id=id_, type="number", value=value, step="any", disabled=fixed)
        return html.Span([html.Label(label, htmlFor=id_, className="quiet"), box])

    return html.Div(
        [
            number(ids.NEW_TOKENS, "New tokens", choices.max_new_tokens),
            dbc.Checkbox(id=ids.SAMPLE, label="sample", value=choices.do_sample, disabled=fixed),
            html.Span(
                [
                    number(ids.TEMPERATURE, "temperature", choices.temperature),
                    number(ids.SEED, "seed", choices.seed),
                ],
                className="sampling",
            ),
            html.Button("Stop", id=ids.STOP, className="primary", disabled=True),
            html.Button("Again", id=ids.AGAIN, className="action", disabled=fixed),
        ],
        className="generation",
    )


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that gather the controls and stop a generation."""
    app.clientside_callback(
        ClientsideFunction("moescope", "settings"),
        Output(ids.SETTINGS, "data"),
        Input(ids.VIEW, "value"),
        Input(ids.SOURCE, "value"),
        Input(ids.TARGET, "value"),
        Input(ids.NEW_TOKENS, "value"),
        Input(ids.SAMPLE, "value"),
        Input(ids.TEMPERATURE, "value"),
        Input(ids.SEED, "value"),
        Input(ids.CAPACITY, "value"),
        Input(ids.AGAIN, "n_clicks"),
        Input(ids.OUTCOME, "data"),
        State(ids.SETTINGS, "data"),
    )

    @app.callback(
        Output(ids.STOPPED, "data"),
        Input(ids.STOP, "n_clicks"),
        State(ids.VISITOR, "data"),
        prevent_initial_call=True,
    )
    def _stop(clicks: int | None, visitor: str | None) -> Any:
        if clicks:
            analyst.streams.stop(str(visitor))
        return no_update
