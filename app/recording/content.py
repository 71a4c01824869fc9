"""What a run holds: parameters, metrics, tags and files of an entry. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import plotly.io

from app import __version__
from app.recording.base import Artifact, Entry
from app.recording.export import routing_csv
from app.recording.measures import Measures
from app.recording.report import report
from app.routing.metrics import Paths
from app.routing.trace import RoutingTrace

TRACE_FILE = "trace.npz"
TAG_ANALYSIS = "moescope.analysis"
TAG_KEY = "moescope.key"
TAG_MODEL = "moescope.model"
TAG_TEXT = "moescope.text"
TAG_TOKENS = "moescope.tokens"
TAG_MODE = "moescope.mode"
TAG_STACKS = "moescope.stacks"

_MOST_TEXT = 250


def text_beginning(text: str) -> str:
    """A text's beginning on one line: what stands in lists and in MLflow's run name.

    At most 250 characters, what can't be printed as spaces.
    """
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * _MOST_TEXT])
    shown = " ".join(shown.split())
    if len(shown) > _MOST_TEXT or len(text) > 2 * _MOST_TEXT:
        shown = shown[: _MOST_TEXT - 1] + "…"
    return shown or "(nothing printable)"


def token_count(trace: RoutingTrace) -> int:
    """Tokens over all stacks."""
    return sum(map(len, trace.sequences.values()))


def tags(entry: Entry, analysis_id: str, run_id: str) -> dict[str, str]:
    """Tags to find a run by, and the path it opens at."""
    return {
        TAG_ANALYSIS: analysis_id,
        TAG_KEY: entry.key,
        TAG_MODEL: entry.trace.model.id,
        TAG_TEXT: text_beginning(entry.trace.text),
        TAG_TOKENS: str(token_count(entry.trace)),
        TAG_MODE: str(entry.trace.provenance.get("mode", "")),
        TAG_STACKS: ",".join(entry.trace.stacks),
        "moescope.link": f"/runs/{run_id}",
        "moescope.version": __version__,
    }


def params(trace: RoutingTrace) -> dict[str, str]:
    """Everything that decided the result. Nested provenance is joined by dots.

    Texts stand for themselves by their hash and length: a parameter can't hold a long one.
    """
    values: dict[str, Any] = {
        "model": trace.model.id,
        "model_revision": trace.model.revision,
        "architecture": trace.model.architecture,
        **_about_text("text", trace.text),
        **_about_text("target", trace.target),
        **_about_text("output", trace.output),
        "stacks": ",".join(trace.stacks),
        "router_layers": len(trace.layers),
        "num_experts": _joined(layer.num_experts for layer in trace.layers),
        "top_k": _joined(layer.top_k for layer in trace.layers),
        "expert_capacity": _joined(layer.capacity for layer in trace.layers),
        "score_function": _joined(layer.score_function for layer in trace.layers),
        "selection": _joined(layer.selection for layer in trace.layers),
        **dict(_flat(trace.provenance)),
    }
    if trace.output and len(trace.output) <= _MOST_TEXT:
        values["output"] = text_beginning(trace.output)
    return {name: str(value) for name, value in values.items()}


def metrics(trace: RoutingTrace, measures: Measures) -> list[tuple[str, float, int]]:
    """(name, value, step). A layer's step is its place in its stack, so depth is the x axis.

    Undefined measures are left out.
    """
    rows: list[tuple[str, float, int]] = [("tokens", float(token_count(trace)), 0)]
    every: dict[str, list[float]] = {}
    for stack, sequence in trace.sequences.items():
        rows.append((f"{stack}/tokens", float(len(sequence)), 0))
        layers = trace.stack_layers(stack)
        for step, layer in enumerate(layers):
            for name, value in measures.layers[layer.name].items():
                if math.isfinite(value):
                    rows.append((f"{stack}/{name}", float(value), step))
                    every.setdefault(name, []).append(float(value))
        lost = sum(int(layer.dropped.sum()) for layer in layers)
        rows.append((f"{stack}/dropped_total", float(lost), 0))
        rows += [(f"{stack}/{name}", value, 0) for name, value in _of_paths(measures.paths[stack])]
    for name, values in every.items():
        if name == "dropped":
            rows.append(("dropped_total", sum(values), 0))
        else:
            rows.append((f"{name}_mean", sum(values) / len(values), 0))
    return rows


def _of_paths(paths: Paths) -> Iterator[tuple[str, float]]:
    yield "paths_distinct", float(paths.distinct)
    yield "paths_share_distinct", paths.share_distinct
    yield "paths_entropy_bits", paths.entropy_bits
    yield "paths_coverage_top1", float(paths.coverage[0])


def artifacts(entry: Entry, measures: Measures) -> Iterator[Artifact]:
    """The run's files: CSV, trace, measures, and each figure as JSON and as a small page.

    The pages are what MLflow's `log_figure` writes, so its own viewer shows them.
    """
    yield Artifact("routing.csv", routing_csv(entry.trace).encode())
    yield Artifact(TRACE_FILE, entry.trace.to_bytes())
    measured = json.dumps(report(entry.trace, measures), ensure_ascii=False, allow_nan=False)
    yield Artifact("metrics.json", measured.encode())
    for name, figure in entry.figures().items():
        as_json: str = plotly.io.to_json(figure, validate=False)
        as_html: str = plotly.io.to_html(figure, include_plotlyjs="cdn", validate=False)
        yield Artifact(f"figures/{name}.json", as_json.encode())
        yield Artifact(f"figures/{name}.html", as_html.encode())


def _about_text(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    # The text's length was there first, under the shorter name.
    length = "characters" if name == "text" else f"{name}_characters"
    return {f"{name}_sha256": hashlib.sha256(text.encode()).hexdigest(), length: len(text)}


def _joined(values: Iterator[Any]) -> str:
    """One value if all are the same, else all."""
    listed = [str(value) for value in values]
    return listed[0] if len(set(listed)) == 1 else ",".join(listed)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)
