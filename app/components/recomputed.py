"""A recorded run computed again: the button, and what came of it."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids
from app.components.attributes import attributes
from app.components.message import sentence
from app.figures.labels import count_of
from app.recording.base import RecordingError, RunNotFoundError
from app.routing.errors import RoutingError
from app.routing.reproduction import Reproduction

_WAIT_FOR_MODEL = 60.0
_LISTED = 6


def again() -> list[Component]:
    """The button and the place of its answer."""
    return [
        html.Button("Compute again", id=ids.RECOMPUTE, className="action"),
        html.Div(
            id=ids.RECOMPUTED,
            className="recomputed",
            role="status",
            **attributes(aria_live="polite"),
        ),
    ]


def recomputed(analyst: Analyst, id_: str) -> list[Component]:
    """Runs the model on a recorded analysis again; what came of it, or why it can't."""
    try:
        return told(analyst.recompute(id_, _WAIT_FOR_MODEL))
    except RunNotFoundError:
        return [html.P("There is no such run any more.", className="problem")]
    except (RecordingError, RoutingError) as error:
        return [html.P(f"Not computed. {sentence(error)}", className="problem")]


def told(found: Reproduction) -> list[Component]:
    """Identical or not, over how much; what differs, and what has changed since."""
    sizes = [
        f"{count_of(tokens, 'token')} × {count_of(layers, 'layer')}"
        + (f" of the {stack}" if len(found.sizes) > 1 else "")
        for stack, tokens, layers in found.sizes
    ]
    since = (
        [html.P("Since then: " + "; ".join(found.environment) + ".")] if found.environment else []
    )
    if found.identical:
        return [html.P(f"Identical to the bit: {', '.join(sizes)}."), *since]
    rest = len(found.differences) - _LISTED
    return [
        html.P(
            f"Not the same. Logits differ by at most {found.max_logit_difference:.2g}; "
            f"{found.changed_experts:,} of {found.n:,} choices are of another expert."
        ),
        *since,
        html.Ul(
            [
                *[html.Li(each) for each in found.differences[:_LISTED]],
                *([html.Li(f"{rest:,} more")] if rest > 0 else []),
            ]
        ),
    ]
