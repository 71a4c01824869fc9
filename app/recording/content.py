"""What a run holds: parameters, metrics, tags, dataset and files of a trace. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import __version__
from app.recording import files
from app.recording.base import Artifact, Entry
from app.recording.files import Draw
from app.recording.measures import Measures
from app.routing.metrics import Paths, expert_load
from app.routing.trace import RoutingTrace

TRACE_FILE = "trace.npz"
SUMS_FILE = "SHA256SUMS"
PREFIX = "moescope."
# Each run has one of these two: it is an analysis, or a pass over a corpus.
TAG_ANALYSIS = f"{PREFIX}analysis"
TAG_PASS = f"{PREFIX}pass"
TAG_KEY = f"{PREFIX}key"
TAG_MODEL = f"{PREFIX}model"
TAG_TEXT = f"{PREFIX}text"
TAG_TOKENS = f"{PREFIX}tokens"
TAG_DOCUMENTS = f"{PREFIX}documents"
TAG_MODE = f"{PREFIX}mode"
TAG_STACKS = f"{PREFIX}stacks"
TAG_LOAD = f"{PREFIX}load"
TAG_VERSION = f"{PREFIX}version"
# The tags that people give, as `,a,b,`, so that a whole one can be searched for.
TAG_TAGS = f"{PREFIX}tags"
# These two are known once the run is written.
TAG_LINK = f"{PREFIX}link"
TAG_SIZE = f"{PREFIX}bytes"
# What MLflow's own page shows on top of a run.
TAG_NOTE = "mlflow.note.content"

_MOST_TEXT = 250
_MOST_PARAM = 6000
_MOST_LAYERS, _MOST_EXPERTS = 32, 64
# A load of so many times the uniform share, or more, has the strongest colour.
_FULL = 4.0
_DIGEST = 36


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


def load_code(trace: RoutingTrace) -> str:
    """The load heatmap of the first stack in small, as `code_of_loads` writes it."""
    layers = trace.stack_layers(trace.stacks[0])
    return code_of_loads([expert_load(layer.experts, layer.num_experts) for layer in layers])


def code_of_loads(loads: Sequence[NDArray[np.float64]]) -> str:
    """A load heatmap in small, of the load [E] of each of its router layers.

    Router layers joined by dots, one hexadecimal digit per expert: 0 for no load, f for four
    times the uniform share or more. Of more than 32 layers or 64 experts, neighbours are
    averaged.
    """
    rows = [_shares(load) for load in loads]
    groups = np.array_split(np.arange(len(rows)), min(len(rows), _MOST_LAYERS))
    lines = []
    for group in groups:
        # Layers of one stack may differ in experts; only equal ones have a mean.
        first = rows[group[0]]
        mean = np.mean([rows[i] for i in group if len(rows[i]) == len(first)], axis=0)
        lines.append("".join(f"{round(15 * min(1.0, share / _FULL)):x}" for share in mean))
    return ".".join(lines)


def _shares(load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loads in uniform shares, those of neighbours averaged where there are many experts."""
    experts = len(load)
    bins = np.array_split(np.asarray(load) * experts, min(experts, _MOST_EXPERTS))
    return np.array([part.mean() for part in bins])


def tags(entry: Entry, analysis_id: str) -> dict[str, str]:
    """Tags to find a run by, and a note that explains it on MLflow's own page.

    `TAG_LINK` and `TAG_SIZE` are known only once the run is written.
    """
    trace = entry.trace
    return {
        TAG_ANALYSIS: analysis_id,
        TAG_KEY: entry.key,
        TAG_MODEL: trace.model.id,
        TAG_TEXT: text_beginning(trace.text),
        TAG_TOKENS: str(token_count(trace)),
        TAG_MODE: str(trace.provenance.get("mode", "")),
        TAG_STACKS: ",".join(trace.stacks),
        TAG_LOAD: load_code(trace),
        TAG_TAGS: "",
        TAG_VERSION: __version__,
        TAG_NOTE: _note(trace),
    }


def _note(trace: RoutingTrace) -> str:
    """The run in words, as markdown that shows no part of the text as anything but text."""
    quoted = text_beginning(trace.text).replace("`", "ˋ")
    told = {
        stack: f"{len(sequence)} tokens through {len(trace.stack_layers(stack))} router layers"
        for stack, sequence in trace.sequences.items()
    }
    return (
        f"Where the routers of `{trace.model.id}` sent each token of `{quoted}`\n\n"
        + "".join(f"- {stack}: {words}\n" for stack, words in told.items())
        + f"\nOpen it in MoEScope at the path that the tag `{TAG_LINK}` gives: that page shows "
        "it as it was.\n\n"
        "**Metrics**: `encoder/…` and `decoder/…` have the depth of the router layer as their "
        "step (0 is the first), so their charts go over depth; `…_mean` is the mean over all "
        "router layers, `…_total` the sum. What each is, with its number of tokens and its chance "
        "level, stands in `metrics.json`.\n\n"
        "**Artifacts**: begin with `summary.md`; `routing.csv` and `routing.parquet` hold one row "
        "per layer, token and expert, `figures/` the diagrams, `trace.npz` everything, "
        f"`{SUMS_FILE}` the checksums."
    )


def params(trace: RoutingTrace) -> dict[str, str]:
    """Everything that decided the result. Nested provenance is joined by dots.

    Texts stand for themselves by their hash and length: a parameter can't hold a long one.
    The time is the run's start.
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
        "moescope_version": __version__,
        **dict(_flat(trace.provenance)),
    }
    if trace.output and len(trace.output) <= _MOST_TEXT:
        values["output"] = text_beginning(trace.output)
    return {name: _shortened(str(value)) for name, value in values.items()}


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
    found = {
        "paths_distinct": float(paths.distinct),
        "paths_share_distinct": paths.share_distinct,
        "paths_entropy_bits": paths.entropy_bits,
        "paths_coverage_top1": float(paths.coverage[0]),
    }
    return ((name, value) for name, value in found.items() if math.isfinite(value))


def dataset(trace: RoutingTrace) -> dict[str, str]:
    """The text as an input of MLflow: name, digest, source, schema and profile.

    One text is one dataset for all models, so nothing here depends on the tokenizer. The
    source is what MLflow calls data that no file or address stands behind.
    """
    texts = {"text": trace.text, "target": trace.target}
    given = {name: text for name, text in texts.items() if text is not None}
    joined = json.dumps(given, sort_keys=True) if len(given) > 1 else trace.text
    columns = [{"type": "string", "name": name, "required": True} for name in given]
    profile: dict[str, int] = {"num_rows": 1}
    for name, text in given.items():
        beginning = "" if name == "text" else f"{name}_"
        profile[f"{beginning}characters"] = len(text)
        profile[f"{beginning}bytes"] = len(text.encode())
        profile[f"{beginning}words"] = len(text.split())
    artifacts_of = {f"{PREFIX}{name}": f"{name}.txt" for name in given}
    return {
        "name": text_beginning(trace.text),
        "digest": hashlib.sha256(joined.encode()).hexdigest()[:_DIGEST],
        "source_type": "code",
        "source": json.dumps({"tags": artifacts_of}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
    }


def artifacts(trace: RoutingTrace, measures: Measures, draw: Draw) -> Iterator[Artifact]:
    """The run's files, each made when it is asked for; last the checksums of all others.

    The figures' pages are what MLflow's `log_figure` writes, so its own viewer shows them.
    """
    sums = []
    for path, content in files.contents(trace, measures, draw):
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {path}\n")
        yield Artifact(path, content)
    yield Artifact(SUMS_FILE, "".join(sums).encode())


def make_file(trace: RoutingTrace, path: str, draw: Draw) -> bytes | None:
    """One of a run's files made from its trace; None for a name that is none of them, and
    for the checksums, which tell of the files as they were kept.

    A figure's page made here opens without a network, as it has the drawing code inside.
    """
    return files.content(trace, path, draw)


def _about_text(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    # The text's length was there first, under the shorter name.
    length = "characters" if name == "text" else f"{name}_characters"
    return {f"{name}_sha256": hashlib.sha256(text.encode()).hexdigest(), length: len(text)}


def _shortened(value: str) -> str:
    return value if len(value) <= _MOST_PARAM else value[: _MOST_PARAM - 1] + "…"


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
