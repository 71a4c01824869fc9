"""From what is selected to the expert atlas, if a pass over a corpus covers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dash import html
from dash.development.base_component import Component

from app.components import links
from app.components.attributes import attributes
from app.figures.labels import plain_label
from app.figures.selection import Selection
from app.routing.trace import RoutingTrace, Stack

# What an address of the atlas says of a place, with layers from 1, and the words of its link.
_Place = tuple[Mapping[str, Any], Sequence[Component | str]]


def to_atlas(trace: RoutingTrace, selection: Selection, stack: Stack) -> list[Component]:
    """Links to the atlas cards of a selection's experts, and to the search for its token.

    Hidden, and without the pass that they lead to: assets/to_atlas.js looks for the newest of
    this model, so that a drawing never waits for that, and shows them or that there is none.
    None at all for a stack that passes don't cover; they read text with the first.
    """
    if stack != trace.stacks[0]:
        return []
    model = attributes(data_model=trace.model.id, data_revision=trace.model.revision)
    return [
        html.Nav(
            [
                html.A(list(words), **attributes(data_atlas=urlencode(place)))
                for place, words in _places(trace, selection, stack)
            ],
            className="to-atlas",
            hidden=True,
            **attributes(aria_label="Expert atlas"),
            **model,
        ),
        html.P(
            [
                "No corpus pass of this model yet. ",
                html.A("Let it read a corpus", href=links.to("/corpora")),
            ],
            className="no-atlas quiet",
            hidden=True,
        ),
    ]


def _places(trace: RoutingTrace, selection: Selection, stack: Stack) -> list[_Place]:
    layer = selection.layer or 0
    if selection.token is None:
        return [_card(layer, selection.expert)]
    piece = trace.sequences[stack].tokens[selection.token]
    search = {"layer": layer + 1, "token": f"«{piece}»"}
    return [
        *[
            _card(layer, expert)
            for expert in trace.stack_layers(stack)[layer].experts[selection.token].tolist()
        ],
        (search, ["Where ", html.Code(plain_label(piece, 20)), " goes in the corpus"]),
    ]


def _card(layer: int, expert: int | None) -> _Place:
    return {"layer": layer + 1, "expert": expert}, [f"Expert {expert} in the atlas"]
