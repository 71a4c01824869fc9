"""From a text to a trace, and from a trace to a recorded run: what page, API and CLI call."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from functools import partial
from typing import Any

from app import __version__
from app.figures.flow import flow_figure
from app.figures.grid import grid_figure
from app.figures.load import load_figure
from app.figures.measures import measures_figure
from app.recording.base import Entry, Receipt, RecordedRun, Recorder
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.capture import capture, check_text
from app.routing.metrics import layer_metrics
from app.routing.models import ModelRegistry
from app.routing.trace import RoutingTrace
from app.settings import Settings

_CACHED_TRACES = 64


class Analyst:
    """Analyses texts with the models of a registry and keeps them with a recorder.

    Safe to share between threads and visitors: what it remembers are pure results.
    """

    def __init__(self, registry: ModelRegistry, recorder: Recorder, max_tokens: int) -> None:
        self.registry = registry
        self.recorder = recorder
        self.max_tokens = max_tokens
        self._traces: OrderedDict[tuple[str, str], RoutingTrace] = OrderedDict()
        self._memory = threading.Lock()

    def trace(self, text: str, model_id: str | None = None, wait: float = 0.0) -> RoutingTrace:
        """The routing of a text, computed or remembered. Raises RoutingError of any kind."""
        check_text(text)
        model_id = model_id or self.registry.default
        loaded = self.registry.get(model_id, wait)
        with self._memory:
            if known := self._traces.get((model_id, text)):
                self._traces.move_to_end((model_id, text))
                return known
        trace = capture(loaded, text, self.max_tokens)
        with self._memory:
            self._traces[model_id, text] = trace
            while len(self._traces) > _CACHED_TRACES:
                self._traces.popitem(last=False)
        return trace

    def record(self, trace: RoutingTrace, force: bool = False, wait: float = 0.0) -> Receipt:
        """Keeps a trace; waits up to `wait` seconds for its writing.

        The same text, model and settings give the same run while it exists.
        """
        key = analysis_key(trace)
        receipt = None if force else self.recorder.find(key)
        if receipt is None:
            receipt = self.recorder.submit(entry_of(trace, key), force)
        if receipt.status == "pending" and wait > 0:
            return self.recorder.receipt(receipt.id, wait)
        return receipt

    def recorded(self, id_: str) -> RecordedRun:
        """A recorded analysis. Raises RunNotFoundError or RecordingError."""
        return self.recorder.load(id_)


def build_analyst(settings: Settings) -> Analyst:
    """The analyst over the settings' models and store. Nothing is loaded or opened yet."""
    registry = ModelRegistry(settings.model_specs(), settings.dtype, settings.threads)
    return Analyst(registry, MlflowRecorder(settings), settings.max_tokens)


def analysis_key(trace: RoutingTrace) -> str:
    """One value for all analyses that must come out the same: text, model and settings."""
    parts = [__version__, trace.text, vars(trace.model), trace.provenance]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def entry_of(trace: RoutingTrace, key: str) -> Entry:
    """What is kept of a trace: its measures and its figures beside it."""
    return Entry(
        trace=trace,
        key=key,
        metrics={layer.name: layer_metrics(layer) for layer in trace.layers},
        figures=partial(_figures, trace),
    )


def _figures(trace: RoutingTrace) -> dict[str, dict[str, Any]]:
    return {
        "flow": flow_figure(trace),
        "load": load_figure(trace),
        "tokens_by_layer": grid_figure(trace),
        "measures": measures_figure(trace),
    }
