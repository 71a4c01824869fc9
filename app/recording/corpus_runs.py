"""Corpus passes as MLflow runs: what was read, what was counted, the counts themselves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.corpus import atlas
from app.corpus.counting.counts import Counts
from app.corpus.library import Pass
from app.corpus.reading.source import digest
from app.recording import content, s3
from app.recording.experiments import Opened, open_experiments
from app.recording.faults import one_line
from app.recording.tracking import open_client
from app.routing.metrics import coefficient_of_variation, load_entropy
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run

TAG_PASS = f"{content.PREFIX}pass"
_FINISHED = "attributes.status = 'FINISHED'"
_DIGEST = 36


class CorpusRecorder:
    """Writes finished passes into the store that analyses go to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def record(self, found: Pass, counts: Counts, folder: Path) -> str:
        """The run of a pass, made unless there is one; gives its id once nothing is missing.

        A run that was begun is taken up again. Raises RecordingError.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        id_ = found.about.id
        with one_line("record the corpus pass", self._settings):
            client, experiment, _ = opened = self._open()
            if run := self._tagged(opened, id_, _FINISHED):
                return str(run.info.run_id)
            created = int(found.about.created.timestamp() * 1000)
            run = self._tagged(opened, id_) or client.create_run(
                experiment, start_time=created, run_name=found.about.order.name, tags=_tags(found)
            )
            run_id = str(run.info.run_id)
            client.log_artifacts(run_id, str(folder / f"counts-{found.state.number}"), "counts")
            if found.about.order.tokens:
                client.log_artifacts(run_id, str(folder / "tokens"), "tokens")
            metrics = [Metric(name, value, created, step) for name, value, step in _metrics(counts)]
            params = [Param(name, value) for name, value in _params(found, counts)]
            client.log_batch(run_id, metrics=metrics, params=params)
            context = [InputTag("mlflow.data.context", "corpus")]
            dataset = Dataset(**_dataset(found, counts))
            client.log_inputs(run_id, [DatasetInput(dataset, context)])
            client.set_tag(run_id, content.TAG_LINK, f"/experts?run={run_id}")
            client.set_terminated(run_id, "FINISHED")
        return run_id

    def _open(self) -> Opened:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        client = open_client(self._settings.tracking_uri)
        if self._settings.minio_endpoint:
            s3.prepare(self._settings)
        return open_experiments(client, self._settings, lambda: None)

    def _tagged(self, opened: Opened, id_: str, condition: str = "") -> Run | None:
        wanted = f"tags.`{TAG_PASS}` = '{id_}'" + (f" and {condition}" if condition else "")
        runs = opened.client.search_runs(opened.experiments, wanted, max_results=1)
        return runs[0] if runs else None


def _tags(found: Pass) -> dict[str, str]:
    about = found.about
    return {
        TAG_PASS: about.id,
        content.TAG_MODEL: about.order.model,
        content.TAG_VERSION: __version__,
        content.TAG_NOTE: (
            f"What the routers of `{about.order.model}` did with the corpus "
            f"`{about.order.name.replace('`', 'ˋ')}`.\n\n"
            "**Metrics**: the step is the router layer's place in its stack, from 0. "
            "`label_information` is the mutual information of a document's label and a token's "
            "expert in bits; `…_low` and `…_high` are the ends of its 95 % interval over "
            "documents, `…_null` the 95th percentile when documents are given each other's "
            "labels.\n\n"
            "**Artifacts**: `counts/` holds the aggregates as Parquet; `shape.json` says of what."
        ),
    }


def _params(found: Pass, counts: Counts) -> Iterator[tuple[str, str]]:
    order, model = found.about.order, found.about.model
    yield "model", order.model
    yield "model_revision", str(model.get("revision", ""))
    yield "architecture", str(model.get("architecture", ""))
    yield "dtype", str(model.get("dtype", ""))
    yield "stack", counts.shape[0].stack
    yield "router_layers", str(len(counts.shape))
    yield "text_column", order.text
    yield "label_columns", ",".join(order.labels)
    yield "max_tokens", str(order.max_tokens)
    yield "batch_tokens", str(order.batch_tokens)
    yield "seed", str(order.seed)
    yield "capacity", "counted within each document, as the model does for one sequence"
    yield "moescope_version", __version__


def _metrics(counts: Counts) -> Iterator[tuple[str, float, int]]:
    """(name, value, step); undefined ones are left out."""
    yield "documents", float(counts.documents), 0
    yield "tokens", float(counts.tokens), 0
    yield "documents_cut", float(counts.truncated), 0
    for step in range(len(counts.shape)):
        load = atlas.load(counts, step)
        values: dict[str, float] = {
            "load_cv": coefficient_of_variation(load.value),
            "load_entropy": load_entropy(load.value).normalised,
            "drop_rate": float(
                counts.usage.dropped[counts.layout.part(step)].sum() / max(1, load.n.sum())
            ),
        }
        for column in counts.label_columns:
            found = atlas.label_information(counts, step, column)
            name = f"label_information/{column}"
            values |= {
                name: found.bits,
                f"{name}_low": found.low,
                f"{name}_high": found.high,
                f"{name}_null": found.null_high,
            }
        for name, value in values.items():
            if math.isfinite(value):
                yield name, float(value), step


def _dataset(found: Pass, counts: Counts) -> dict[str, str]:
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
        "digest": digest([Path(name) for name in order.files])[:_DIGEST],
        "source_type": "code",
        "source": json.dumps({"tags": {"files": ",".join(names)}}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
    }
