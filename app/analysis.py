"""From a text to a trace, and from a trace to a recorded run: what page, API and CLI call."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app import __version__
from app.corpus.library import Library
from app.corpus.saturations import Saturations
from app.corpus.uploads import Uploads
from app.figures.flow import flow_figure
from app.figures.grid import grid_figure
from app.figures.load import load_figure
from app.figures.measures import measures_figure
from app.jobs import Jobs
from app.queueing import Queue
from app.recording.base import Entry, Receipt, RecordedRun, Recorder, RecordingError
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.capacity import with_capacity
from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.routing.reproduction import Reproduction, reproduce
from app.routing.task import Task
from app.routing.trace import RoutingTrace
from app.settings import Settings
from app.streams import Streams

log = logging.getLogger(__name__)

# Twenty people who type make hundreds of traces until a text of theirs has rested.
_CACHED_TRACES = 512
_CACHED_BYTES = 64_000_000
_PATIENCE_SECONDS = 1.0
_QUEUE = 64
# A folder that holds no corpus pass.
_NOWHERE = Path(os.devnull)
# A model whose pass takes longer is no reason to keep others from being drawn.
_QUICK_SECONDS = 0.1


class Analyst:
    """Analyses texts with the models of a registry and keeps them with a recorder; `library`
    holds the passes over corpora, `uploads` their files, `jobs` carries them on, `saturations`
    compares them token by token.

    Safe to share between threads and visitors: what it remembers are pure results.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        recorder: Recorder,
        max_tokens: int,
        queue: Queue | None = None,
        library: Library | None = None,
        uploads: Uploads | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.registry = registry
        self.recorder = recorder
        self.max_tokens = max_tokens
        self.queue = Queue(_QUEUE) if queue is None else queue
        self.library = Library(_NOWHERE) if library is None else library
        self.uploads = Uploads(_NOWHERE, 0) if uploads is None else uploads
        self.jobs = Jobs(self.library, environment)
        self.saturations = Saturations(self.library, self.queue.give_way)
        # By model and task, or as a recorded run by its id.
        self._traces: OrderedDict[tuple[str, Task | str], RoutingTrace] = OrderedDict()
        self._bytes = 0
        self._memory = threading.Lock()
        # How long the last pass of each model took.
        self._seconds: dict[str, float] = {}
        self.streams = Streams(self._generate)

    def trace(
        self,
        task: Task | str,
        model_id: str | None = None,
        wait: float = 0.0,
        patient: bool = True,
    ) -> RoutingTrace:
        """The routing of a task or a plain text, computed or remembered.

        Those who ask for the same at the same time get one result. Raises RoutingError of any
        kind, without `patient` also BusyError.
        """
        task = task if isinstance(task, Task) else Task(task)
        task.check(self.max_tokens)
        model_id = model_id or self.registry.default
        loaded = self.registry.get(model_id, wait)
        if known := self._known(model_id, task):
            return known
        return self.queue.once(
            (model_id, task), partial(self._compute, loaded, model_id, task), patient
        )

    def _compute(self, loaded: LoadedModel, model_id: str, task: Task) -> RoutingTrace:
        # It may have been made since it was looked for.
        if known := self._known(model_id, task):
            return known
        quick = task.generation is None and self._seconds.get(model_id, 0) < _QUICK_SECONDS
        turn: AbstractContextManager[None] = self.queue.turn() if quick else nullcontext()
        with turn:
            start = time.perf_counter()
            trace = capture(loaded, task, self.max_tokens)
            seconds = time.perf_counter() - start
        if task.generation is None:
            self._seconds[model_id] = seconds
        return self._remember(model_id, task, trace)

    def preview(self, task: Task, model_id: str, patient: bool = True) -> RoutingTrace:
        """The same for somebody who watches: with a model whose pass takes over a second,
        another capacity is worked out from the trace at its own, which says so."""
        slow = self._seconds.get(model_id, 0) > _PATIENCE_SECONDS
        if task.capacity is None or not slow or task.generation is not None:
            return self.trace(task, model_id, patient=patient)
        usual = self.trace(replace(task, capacity=None), model_id, patient=patient)
        return with_capacity(usual, task.capacity)

    def _generate(
        self, task: Task, model_id: str, on_token: Callable[[RoutingTrace], bool]
    ) -> RoutingTrace:
        """The same while somebody follows it token by token; a stopped one isn't remembered."""
        if known := self._known(model_id, task):
            return known
        with self.queue.place(patient=False):
            trace = capture(self.registry.get(model_id), task, self.max_tokens, on_token)
        if "stopped" in trace.provenance:
            return trace
        return self._remember(model_id, task, trace)

    def _known(self, model_id: str, task: Task | str) -> RoutingTrace | None:
        with self._memory:
            if known := self._traces.get((model_id, task)):
                self._traces.move_to_end((model_id, task))
            return known

    def _remember(self, model_id: str, task: Task | str, trace: RoutingTrace) -> RoutingTrace:
        with self._memory:
            before = self._traces.pop((model_id, task), None)
            self._traces[model_id, task] = trace
            self._bytes += _bytes(trace) - (_bytes(before) if before else 0)
            while len(self._traces) > _CACHED_TRACES or (
                self._bytes > _CACHED_BYTES and len(self._traces) > 1
            ):
                self._bytes -= _bytes(self._traces.popitem(last=False)[1])
        return trace

    def record(self, trace: RoutingTrace, force: bool = False, wait: float = 0.0) -> Receipt:
        """Keeps a trace on the local disk; waits up to `wait` seconds for the store to have it.

        The same text, model and settings give the same run while it exists. The receipt is
        a failed one, without an id, if the disk does not take it.
        """
        try:
            receipt = self.recorder.submit(Entry(trace, analysis_key(trace)), force)
            return self.recorder.receipt(receipt.id, wait) if wait > 0 else receipt
        except RecordingError as error:
            log.error("an analysis could not be kept: %s", error)
            return Receipt("", None, "failed", str(error))

    def recorded(self, id_: str) -> RecordedRun:
        """A recorded analysis. Raises RunNotFoundError or RecordingError."""
        run = self.recorder.load(id_)
        self._remember("", id_, run.trace)
        return run

    def recorded_trace(self, id_: str) -> RoutingTrace:
        """Its trace alone, which never changes, so the store is asked once. Raises the same."""
        return self._known("", id_) or self.recorded(id_).trace

    def recompute(self, id_: str, wait: float = 0.0) -> Reproduction:
        """Runs the model on a recorded analysis again and compares the two, to the bit.

        Never answers from memory; waits up to `wait` seconds for the model. Raises
        RunNotFoundError, RecordingError, or RoutingError of any kind.
        """
        old = self.recorded(id_).trace
        loaded = self.registry.get(old.model.id, wait)
        end = len(old.sequences[old.stacks[-1]]) if old.provenance.get("stopped") else None

        def where_it_was_stopped(trace: RoutingTrace) -> bool:
            return len(trace.sequences[trace.stacks[-1]]) == end

        on_token = None if end is None else where_it_was_stopped
        with self.queue.place(patient=False):
            return reproduce(old, capture(loaded, task_of(old), self.max_tokens, on_token))


def build_analyst(settings: Settings) -> Analyst:
    """The analyst over the settings' models and store. Nothing is loaded or opened yet."""
    registry = ModelRegistry(
        settings.model_specs(), settings.dtype, settings.threads, settings.data_dir / "models"
    )
    queue = Queue(settings.queue)
    recorder = MlflowRecorder(settings, figures_of, queue.give_way)
    library = Library(settings.data_dir)
    uploads = Uploads(settings.data_dir, settings.upload_mb * 1_000_000)
    environment = settings.environment()
    return Analyst(registry, recorder, settings.max_tokens, queue, library, uploads, environment)


def _bytes(trace: RoutingTrace) -> int:
    """About how much memory it takes: of its arrays, these two have a number per expert."""
    return sum(layer.logits.nbytes + layer.probabilities.nbytes for layer in trace.layers)


def task_of(trace: RoutingTrace) -> Task:
    """The task that a trace answers. Raises InvalidTaskError if its settings can't be read."""
    return Task.of(trace.text, {**trace.provenance, "target": trace.target})


def analysis_key(trace: RoutingTrace) -> str:
    """One value for all analyses that must come out the same: text, model and settings."""
    # How many threads computed it is no setting of the analysis.
    settings = {name: value for name, value in trace.provenance.items() if name != "threads"}
    parts: list[Any] = [__version__, trace.text, vars(trace.model), settings]
    if trace.target is not None:
        parts.append(trace.target)
    if trace.provenance.get("stopped"):
        # Where it was stopped is no setting, and yet makes another analysis.
        parts.append(len(trace.sequences[trace.stacks[-1]]))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def figures_of(trace: RoutingTrace) -> dict[str, dict[str, Any]]:
    """The figures that a run holds, by name."""
    return {
        "flow": flow_figure(trace),
        "load": load_figure(trace),
        "tokens_by_layer": grid_figure(trace),
        "measures": measures_figure(trace),
    }
