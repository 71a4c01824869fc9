"""The texts that a model is tried on when it is loaded."""

from __future__ import annotations

from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.task import Task
from app.routing.trace import RoutingTrace

PROBES = ("The river bank was closed on Sunday, 14 of us waited.", "Two words.")
PROBE_TOKENS = 256


def probe_task(loaded: LoadedModel, text: str) -> Task:
    """A task in which every stack reads the text."""
    return Task(text, target=text if loaded.encoder_decoder else None)


def probe(loaded: LoadedModel, text: str) -> RoutingTrace:
    """The routing of that task. Raises what `capture` raises."""
    return capture(loaded, probe_task(loaded, text), PROBE_TOKENS)
