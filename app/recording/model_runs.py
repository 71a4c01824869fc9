"""Trainings as MLflow runs, one for each and one below it for every model that was kept; the best
model becomes a version in the registry."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from app.automl.files import holdout_file, leaderboard_file
from app.automl.library import Training
from app.automl.order import Model
from app.recording import model_content, s3
from app.recording.content import TAG_NOTE
from app.recording.experiments import Opened, open_experiments
from app.recording.faults import one_line
from app.recording.files import figure_html, figure_json
from app.recording.model_files import result_of, write_model
from app.recording.registered import Version
from app.recording.registry import MODEL, Registry
from app.recording.registry_tags import TAG_TRAINING
from app.recording.tracking import open_client
from app.settings import Settings
from app.tables.safe_csv import safe_csv

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

# Figures by name, as plain dicts, of a training and the answers to its hold-out.
Draw = Callable[[Training, pd.DataFrame], Mapping[str, Mapping[str, Any]]]

_MOST_FOUND = 100


@dataclass(frozen=True)
class Recorded:
    """Where a training is: its run, and its version, None where somebody removed that."""

    run_id: str
    version: Version | None


class ModelRecorder:
    """Writes finished trainings into the store that analyses go to, and registers their best
    models; `draw` gives their figures."""

    def __init__(self, settings: Settings, draw: Draw) -> None:
        self._settings = settings
        self._draw = draw
        self._registry = Registry(settings)

    def record(self, found: Training, folder: Path) -> Recorded:
        """The run of a finished training that lies in `folder`, and its version, made unless
        they are there.

        A run that was begun is taken up again. The version comes last, when nothing of the run
        is missing. Raises RecordingError.
        """
        with one_line("record the training", self._settings):
            opened = self._open()
            client = opened.client
            if run := self._run(opened, found.id, finished=True):
                return self._recorded(str(run.info.run_id))
            begun = self._run(opened, found.id)
            run = begun or self._begin(opened, found, model_content.tags(found))
            run_id = str(run.info.run_id)
            self._log_files(client, run_id, found, folder)
            self._log(client, run_id, found)
            for model in result_of(found).models:
                self._log_model(opened, run_id, found, model)
            note = f"Predicts «{result_of(found).columns.target}»; from the run {run_id}"
            source = f"{run.info.artifact_uri.rstrip('/')}/{MODEL}"
            version = self._registry.register(
                found.order.name,
                run_id,
                source,
                model_content.version_tags(found),
                note,
                found.order.follows,
            )
            client.set_terminated(run_id, "FINISHED")
        return Recorded(run_id, version)

    def note_end(self, found: Training, reason: str) -> None:
        """Has the run of a training say why no model came of it; made if none was begun. One
        that is whole stays as it is. Raises RecordingError."""
        with one_line("mark the training's run", self._settings):
            opened = self._open()
            client, run = opened.client, self._run(opened, found.id)
            if run is None:
                run = self._begin(opened, found, model_content.early_tags(found))
            elif run.info.status == "FINISHED":
                return
            client.set_tag(run.info.run_id, TAG_NOTE, model_content.ended_note(found, reason))
            status = "FAILED" if found.status == "failed" else "KILLED"
            client.set_terminated(run.info.run_id, status)

    def _begin(self, opened: Opened, found: Training, tags: Mapping[str, str]) -> Run:
        return opened.client.create_run(
            opened.experiment, _milliseconds(found), dict(tags), run_name=found.order.name
        )

    def _log(self, client: MlflowClient, run_id: str, found: Training) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        client.log_batch(
            run_id,
            metrics=list(_metrics(model_content.metrics(found), found)),
            params=[Param(name, value) for name, value in model_content.params(found).items()],
            tags=[RunTag(name, value) for name, value in model_content.tags(found).items()],
        )
        context = [InputTag("mlflow.data.context", "training")]
        dataset = Dataset(**model_content.dataset(found))
        client.log_inputs(run_id, [DatasetInput(dataset, context)])

    def _log_model(self, opened: Opened, parent: str, found: Training, model: Model) -> None:
        """The run of one model."""
        from mlflow.entities import Param

        tags = model_content.model_tags(found, model, parent)
        tag = model_content.TAG_TRAINED
        before = opened.client.search_runs(
            [opened.experiment], f"tags.`{tag}` = '{tags[tag]}'", max_results=1
        )
        if before and before[0].info.status == "FINISHED":
            return
        run = (
            before[0]
            if before
            else opened.client.create_run(
                opened.experiment, _milliseconds(found), tags, run_name=model.name
            )
        )
        opened.client.log_batch(
            run.info.run_id,
            metrics=list(_metrics(model_content.of_model(model), found)),
            params=[Param("family", model.family)],
        )
        opened.client.set_terminated(run.info.run_id, "FINISHED")

    def _log_files(self, client: MlflowClient, run_id: str, found: Training, folder: Path) -> None:
        base = self._settings.data_dir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as made:
            to = Path(made)
            holdout = pd.read_parquet(holdout_file(folder))
            for file in (leaderboard_file(folder), holdout_file(folder)):
                shutil.copy(file, to)
            for name, table in _tables(found, holdout):
                (to / name).write_text(safe_csv(table), encoding="utf-8")
            (to / "figures").mkdir()
            for name, figure in self._draw(found, holdout).items():
                (to / "figures" / f"{name}.json").write_bytes(figure_json(figure))
                page = figure_html(name, figure, "cdn")
                (to / "figures" / f"{name}.html").write_bytes(page)
            write_model(found, folder, to / MODEL, run_id, MODEL)
            client.log_artifacts(run_id, made)

    def _open(self) -> Opened:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        client = open_client(self._settings.tracking_uri)
        if self._settings.minio_endpoint:
            s3.prepare(self._settings)
        return open_experiments(client, self._settings, lambda: None)

    def _run(self, opened: Opened, id_: str, finished: bool = False) -> Run | None:
        """The run of a training."""
        wanted = f"tags.`{TAG_TRAINING}` = '{id_}'"
        if finished:
            wanted += " and attributes.status = 'FINISHED'"
        runs = opened.client.search_runs(opened.experiments, wanted, max_results=1)
        return runs[0] if runs else None

    def _recorded(self, run_id: str) -> Recorded:
        return Recorded(run_id, self._registry.of_run(run_id))


def _tables(found: Training, holdout: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "importance.csv", model_content.importance_table(found)
    if result_of(found).columns.task != "regression":
        yield "confusion.csv", model_content.confusion_table(found, holdout)


def _metrics(values: Iterator[tuple[str, float]], found: Training) -> Iterator[Any]:
    from mlflow.entities import Metric

    # The same time stamp at every try: MLflow keeps a metric once.
    for name, value in values:
        yield Metric(name, value, _milliseconds(found), 0)


def _milliseconds(found: Training) -> int:
    return int(found.created.timestamp() * 1000)
