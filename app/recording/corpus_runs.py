"""Corpus passes as MLflow runs: what was read, what was counted, the counts and their atlas."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from app.corpus.atlases import Atlas
from app.corpus.library import Pass
from app.recording import content, pass_content, s3
from app.recording.atlas_report import Draw
from app.recording.experiments import Opened, open_experiments
from app.recording.faults import one_line
from app.recording.outbox import Outbox
from app.recording.tracking import open_client
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_FINISHED = "attributes.status = 'FINISHED'"
_MOST_RUNS = 10


class CorpusRecorder:
    """Writes finished passes into the store that analyses go to; `draw` gives the figures of
    their reports."""

    def __init__(self, settings: Settings, draw: Draw) -> None:
        self._settings = settings
        self._draw = draw

    def record(self, found: Pass, atlas: Atlas, folder: Path) -> str:
        """The run of a pass, made unless there is one; gives its id once nothing is missing.

        A run that was begun is taken up again, one that somebody deleted is not. Raises
        RecordingError.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        id_, counts = found.about.id, atlas.counts
        with one_line("record the corpus pass", self._settings):
            client, experiment, _ = opened = self._open()
            if run := self._tagged(opened, id_, _FINISHED):
                return str(run.info.run_id)
            created = int(found.about.created.timestamp() * 1000)
            tags = pass_content.tags(found, counts)
            run = self._tagged(opened, id_) or client.create_run(
                experiment, start_time=created, run_name=tags[content.TAG_TEXT], tags=tags
            )
            run_id = str(run.info.run_id)
            size = self._log_files(client, run_id, found, atlas, folder)
            metrics = [
                Metric(name, value, created, step)
                for name, value, step in pass_content.metrics(atlas)
            ]
            params = [
                Param(name, value) for name, value in pass_content.params(found, counts).items()
            ]
            last = {content.TAG_SIZE: str(size), content.TAG_LINK: f"/experts?run={run_id}"}
            written = [RunTag(name, value) for name, value in {**tags, **last}.items()]
            client.log_batch(run_id, metrics=metrics, params=params, tags=written)
            context = [InputTag("mlflow.data.context", "corpus")]
            dataset = Dataset(**pass_content.dataset(found, counts))
            client.log_inputs(run_id, [DatasetInput(dataset, context)])
            client.set_terminated(run_id, "FINISHED")
        return run_id

    def _log_files(
        self, client: MlflowClient, run_id: str, found: Pass, atlas: Atlas, folder: Path
    ) -> int:
        """Counts, atlas, and every token's routing where it was asked for; gives their bytes."""
        base = self._settings.data_dir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as made:
            pass_content.write_files(atlas, found, self._draw, Path(made))
            folders = {
                "counts": folder / f"counts-{found.state.number}",
                pass_content.ATLAS: Path(made),
                **({"tokens": folder / "tokens"} if found.about.order.tokens else {}),
            }
            for name, place in folders.items():
                client.log_artifacts(run_id, str(place), name)
            return sum(
                file.stat().st_size
                for place in folders.values()
                for file in place.rglob("*")
                if file.is_file()
            )

    def _open(self) -> Opened:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        client = open_client(self._settings.tracking_uri)
        if self._settings.minio_endpoint:
            s3.prepare(self._settings)
        return open_experiments(client, self._settings, lambda: None)

    def _tagged(self, opened: Opened, id_: str, condition: str = "") -> Run | None:
        """A run of the pass that nobody deleted."""
        wanted = f"tags.`{content.TAG_PASS}` = '{id_}'" + (f" and {condition}" if condition else "")
        with closing(Outbox(self._settings.data_dir / "outbox.db")) as outbox:
            hidden = outbox.hidden()
        runs = opened.client.search_runs(opened.experiments, wanted, max_results=_MOST_RUNS)
        return next((run for run in runs if run.info.run_id not in hidden), None)
