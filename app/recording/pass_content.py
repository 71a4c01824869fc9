"""What the run of a corpus pass holds: tags, parameters, metrics, dataset and files. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from app import __version__
from app.corpus import atlas
from app.corpus.atlases import Atlas
from app.corpus.counting.counts import Counts
from app.corpus.library import Pass
from app.recording import atlas_files, content
from app.recording.atlas_report import Draw, report
from app.routing.metrics import coefficient_of_variation, load_entropy

ATLAS, REPORT = "atlas", "report.html"
# What lies in a run's folder `atlas`.
FILES = (*atlas_files.CSV_NAMES, REPORT)
_DIGEST = 36


def tags(found: Pass, counts: Counts) -> dict[str, str]:
    """What the history shows and searches, as an analysis has it, and a note that explains the
    run on MLflow's own page.

    `TAG_LINK` and `TAG_SIZE` are known only once the run is written.
    """
    order = found.about.order
    return {
        content.TAG_PASS: found.about.id,
        content.TAG_MODEL: order.model,
        content.TAG_TEXT: content.text_beginning(order.name),
        content.TAG_TOKENS: str(counts.tokens),
        content.TAG_DOCUMENTS: str(counts.documents),
        content.TAG_STACKS: counts.shape[0].stack,
        content.TAG_LOAD: _load_code(counts),
        content.TAG_TAGS: "",
        content.TAG_VERSION: __version__,
        content.TAG_NOTE: _note(order.model, order.name),
    }


def _load_code(counts: Counts) -> str:
    """Empty where nothing was counted, which is no load at all."""
    if not counts.tokens:
        return ""
    layers = range(len(counts.shape))
    return content.code_of_loads([atlas.load(counts, layer).value for layer in layers])


def _note(model: str, name: str) -> str:
    return (
        f"What the routers of `{model}` did with the corpus `{name.replace('`', 'ˋ')}`.\n\n"
        f"Open it in MoEScope at the path that the tag `{content.TAG_LINK}` gives.\n\n"
        "**Metrics**: the step is the router layer's place in its stack, from 0. "
        "`label_information` is the mutual information of a document's label and a token's "
        "expert in bits; `…_low` and `…_high` are the ends of its 95 % interval over "
        "documents, `…_null` the 95th percentile when documents are given each other's "
        "labels. `…_mean` is the mean over the router layers, `…_total` the sum.\n\n"
        f"**Artifacts**: begin with `{ATLAS}/{REPORT}`, which opens offline; the tables beside "
        "it say of every layer what its experts take, by label and by token. `counts/` holds "
        "the aggregates as Parquet; `shape.json` says of what."
    )


def params(found: Pass, counts: Counts) -> dict[str, str]:
    """Everything that decided the result."""
    order, model = found.about.order, found.about.model
    return {
        "model": order.model,
        "model_revision": str(model.get("revision", "")),
        "architecture": str(model.get("architecture", "")),
        "dtype": str(model.get("dtype", "")),
        "stack": counts.shape[0].stack,
        "router_layers": str(len(counts.shape)),
        "corpus_sha256": found.digest,
        "text_column": order.text,
        "label_columns": ",".join(order.labels),
        "max_tokens": str(order.max_tokens),
        "batch_tokens": str(order.batch_tokens),
        "seed": str(order.seed),
        "capacity": "counted within each document, as the model does for one sequence",
        "moescope_version": __version__,
    }


def metrics(of: Atlas) -> Iterator[tuple[str, float, int]]:
    """(name, value, step); undefined ones are left out. Means have the names that those of
    analyses have, so that both are sorted together."""
    counts = of.counts
    yield "documents", float(counts.documents), 0
    yield "tokens", float(counts.tokens), 0
    yield "documents_cut", float(counts.truncated), 0
    yield "dropped_total", float(counts.usage.dropped.sum()), 0
    every: dict[str, list[float]] = {}
    for step in range(len(counts.shape)):
        for name, value in _balance(counts, step).items():
            if math.isfinite(value):
                every.setdefault(name, []).append(value)
                yield name, value, step
        for name, value in _information(of, step):
            if math.isfinite(value):
                yield name, value, step
    for name, values in every.items():
        yield f"{name}_mean", sum(values) / len(values), 0


def _balance(counts: Counts, layer: int) -> dict[str, float]:
    part, shape, usage = counts.layout.part(layer), counts.shape[layer], counts.usage
    load = atlas.load(counts, layer)
    assigned = max(1, int(load.n.sum()))
    most = math.log2(shape.num_experts)
    return {
        "load_cv": coefficient_of_variation(load.value),
        "load_entropy": load_entropy(load.value).normalised,
        "confidence": float(usage.confidence[part].sum()) / assigned,
        "token_entropy": float(usage.entropy[layer]) / (max(1, counts.tokens) * most)
        if most
        else math.nan,
        "drop_rate": float(usage.dropped[part].sum()) / assigned,
    }


def _information(of: Atlas, layer: int) -> Iterator[tuple[str, float]]:
    for column in of.counts.label_columns:
        found = of.information(column)[layer]
        name = f"label_information/{column}"
        yield name, found.bits
        yield f"{name}_low", found.low
        yield f"{name}_high", found.high
        yield f"{name}_null", found.null_high


def dataset(found: Pass, counts: Counts) -> dict[str, str]:
    """The corpus as an input of MLflow: name, digest of the files' bytes, columns, counts."""
    order = found.about.order
    columns = [{"type": "string", "name": name} for name in (order.text, *order.labels)]
    profile = {
        "num_rows": counts.documents,
        "skipped": found.state.skips.total,
        "bytes": found.about.size,
        "tokens": counts.tokens,
    }
    names = [Path(name).name for name in order.files]
    return {
        "name": order.name,
        "digest": found.digest[:_DIGEST],
        "source_type": "code",
        "source": json.dumps({"tags": {"files": ",".join(names)}}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
    }


def write_files(of: Atlas, found: Pass, draw: Draw, folder: Path) -> None:
    """Writes `FILES` into a folder. Raises OSError."""
    for name in atlas_files.CSV_NAMES:
        atlas_files.write(of, name, folder / name)
    (folder / REPORT).write_bytes(report(of, found, draw))
