"""MLflow as the store: an analysis is a run of one experiment, and so is a pass over a corpus.

Passes are written elsewhere (corpus_runs.py), and found, changed and deleted here.
"""

from __future__ import annotations

import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.recording import content, s3
from app.recording.base import (
    SORTS,
    Entry,
    InvalidQueryError,
    Query,
    RecordingError,
    RunKind,
    RunNotFoundError,
    StoreDownError,
)
from app.recording.experiments import Opened, open_experiments, plain
from app.recording.faults import one_line
from app.recording.files import Draw, GiveWay
from app.recording.measures import measure
from app.recording.tracking import analyse, check_database, open_client
from app.routing.trace import RoutingTrace
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{32}")
_FINISHED = "attributes.status = 'FINISHED'"
# What tells the kinds of runs apart.
_KINDS: Mapping[RunKind, str] = {
    "analysis": content.TAG_ANALYSIS,
    "corpus": content.TAG_PASS,
}
# A crowd of readers would use up the connections that sqlite's pool offers.
_MOST_CALLS = 8
# So long after the store was found to be down, reading does not try it again.
_REFUSE_SECONDS = 10.0
_ANALYSE_EVERY = 500
_LEFT_BEHIND_SECONDS = 3600.0


class MlflowStore:
    """Writes and reads runs. Opened on first use; every error is a RecordingError.

    Importing mlflow takes seconds, so it happens when the store is opened.
    """

    def __init__(self, settings: Settings, draw: Draw, give_way: GiveWay) -> None:
        self._settings = settings
        self._draw = draw
        self._give_way = give_way
        self._opening = threading.Lock()
        self._calls = threading.Semaphore(_MOST_CALLS)
        self._opened: Opened | None = None
        self._files_ready = False
        self._refused: tuple[float, str] = (0.0, "")
        self._written = 0

    def open(self) -> Opened:
        """The client and its experiments. Raises RecordingError."""
        with self._opening:
            if self._opened is None:
                started = time.monotonic()
                with self._refusing():
                    try:
                        with one_line("open the store", self._settings):
                            self._opened = self._open()
                    except RecordingError as error:
                        # Whatever it is, no analysis is to blame.
                        raise StoreDownError(str(error)) from error
                log.info("the store is open after %.1f s", time.monotonic() - started)
            return self._opened

    def find(self, analysis_id: str | None, key: str | None, hidden: set[str]) -> Run | None:
        """The whole run of an analysis or of a key; either may be None. Asks at once, even
        if the store was down a moment ago."""
        with self._trying("search the runs"):
            for tag, value in ((content.TAG_KEY, key), (content.TAG_ANALYSIS, analysis_id)):
                if value is not None:
                    for run in self._tagged(tag, value, _FINISHED):
                        if run.info.run_id not in hidden:
                            return run
        return None

    def write(self, analysis_id: str, trace: RoutingTrace, key: str, created: datetime) -> str:
        """Writes a whole run; gives its id once nothing is missing.

        A run that was begun for the analysis is taken up again, so that there is one.
        """
        with self._trying("write the run"):
            client, experiment, _ = self.open()
            self._prepare_files()
            tags = content.tags(Entry(trace, key), analysis_id)
            version = tags[content.TAG_VERSION]
            begun = self._tagged(content.TAG_ANALYSIS, analysis_id)
            # Another version may give other parameters, which MLflow never overwrites.
            mine = (run for run in begun if run.data.tags.get(content.TAG_VERSION) == version)
            run = next(mine, None)
            if run is None:
                run = client.create_run(
                    experiment,
                    start_time=_milliseconds(created),
                    run_name=content.text_beginning(trace.text),
                    tags=tags,
                )
            run_id: str = run.info.run_id
            self._give_way()
            self._fill(client, run_id, trace, tags, created)
            self._give_way()
            client.set_terminated(run_id, "FINISHED")
            self._remove_others(client, analysis_id, run_id)
            self._written += 1
            if self._written % _ANALYSE_EVERY == 0:
                analyse(self._settings.tracking_uri)
        return run_id

    def run(self, id_: str) -> Run:
        """The recorded run with this id, MLflow's own or the analysis's.

        Raises RunNotFoundError for anything that is no whole analysis or pass of the experiment.
        """
        if not _ID.fullmatch(id_):
            raise RunNotFoundError("there is no such run")
        with self._reading("look up the run"):
            run = self._by_run_id(id_)
            if run is None:
                found = self._tagged(content.TAG_ANALYSIS, id_, _FINISHED)
                run = found[0] if found else None
        if run is None:
            raise RunNotFoundError("there is no such run")
        return run

    @contextmanager
    def file(self, run: Run, path: str) -> Iterator[Path | None]:
        """One of a run's files as a local path, None if it has none of that name."""
        from mlflow.utils.file_utils import local_file_uri_to_path

        # What lies on this disk is not copied, which a full one would not take.
        here = run.info.artifact_uri.startswith(("file:", "/"))
        with nullcontext() if here else self.folder() as folder:
            with self._reading("read the run's files"):
                client = self.open().client
                self._prepare_files()
                parent = path.rpartition("/")[0]
                files = client.list_artifacts(run.info.run_id, parent or None)
                found = None
                if path in {file.path for file in files}:
                    found = (
                        Path(client.download_artifacts(run.info.run_id, path, str(folder)))
                        if folder
                        # The client would copy it to a folder that nobody removes.
                        else Path(local_file_uri_to_path(run.info.artifact_uri), path)  # type: ignore[no-untyped-call]
                    )
            yield found

    def link(self, run: Run, path: str) -> str | None:
        """A presigned address of a file, if they are switched on and it lies in the bucket."""
        settings = self._settings
        if not (settings.minio_endpoint and settings.minio_presign):
            return None
        name = s3.object_of(settings, run.info.artifact_uri, path)
        if name is None:
            return None
        beginning, _, ending = path.rpartition("/")[2].partition(".")
        filename = f"{beginning}-{run.info.run_id[:8]}.{ending}"
        return s3.presigned(settings, name, filename)

    def page_of(self, run: Run) -> str | None:
        """The run's page in MLflow's own interface, where that is known."""
        base = self._settings.mlflow_ui
        if not base and self._settings.tracking_uri.startswith(("http://", "https://")):
            base = re.sub(r"//[^/@\s]+@", "//", self._settings.tracking_uri)
        if not base:
            return None
        place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return f"{base.rstrip('/')}/#/{place}"

    def search(self, limit: int, cursor: str | None, query: Query) -> tuple[list[Run], str | None]:
        """Recorded runs that may match, in order, and the cursor of the next page.

        The store's pattern can't name every character, so the caller checks the hits.
        """
        # A run of either kind has a text, and no other run has. The filter knows no «or».
        conditions = [_FINISHED, _like(content.TAG_TEXT, query.text)]
        if query.kind:
            conditions.append(_like(_KINDS[query.kind], ""))
        for tag, part in (
            (content.TAG_MODEL, query.model),
            (content.TAG_STACKS, query.stack),
            (content.TAG_TAGS, f",{query.tag}," if query.tag else ""),
        ):
            if part:
                conditions.append(_like(tag, part))
        if query.since:
            start = datetime.combine(query.since, datetime.min.time(), UTC)
            conditions.append(f"attributes.start_time >= {_milliseconds(start)}")
        if query.until and query.until < date.max:
            end = datetime.combine(query.until, datetime.min.time(), UTC) + timedelta(days=1)
            conditions.append(f"attributes.start_time < {_milliseconds(end)}")
        if query.sort not in SORTS:
            raise InvalidQueryError(f"runs can't be sorted by «{query.sort[:50]}»")
        what = "attributes.start_time" if query.sort == "created" else f"metrics.`{query.sort}`"
        order = f"{what} {'DESC' if query.descending else 'ASC'}"
        return self._search(" and ".join(conditions), limit, cursor, order)

    def change(self, run_id: str, tags: Mapping[str, str], name: str | None = None) -> None:
        """Sets tags of a run, and its name in MLflow."""
        with self._reading("change the run"):
            client = self.open().client
            if name is not None:
                client.update_run(run_id, name=name)
            for tag, value in tags.items():
                client.set_tag(run_id, tag, value)

    def erase(self, run_id: str) -> None:
        """Deletes a run of the experiment with its files; one that is gone is no error."""
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with self._trying("delete the run"):
            client, _, experiments = self.open()
            self._prepare_files()
            try:
                run = client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return
                raise
            if not _is_ours(run) or run.info.experiment_id not in experiments:
                return
            if run.info.lifecycle_stage == "active":
                client.delete_run(run_id)
            with suppress(FileNotFoundError):
                get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]

    def erase_analysis(self, analysis_id: str) -> None:
        """Deletes whatever was begun for an analysis."""
        with self._trying("delete the run"):
            runs = self._tagged(content.TAG_ANALYSIS, analysis_id)
        for run in runs:
            self.erase(run.info.run_id)

    def _open(self) -> Opened:
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._remove_left_behind()
        client = open_client(settings.tracking_uri)
        opened = open_experiments(client, settings, self._prepare_files)
        analyse(settings.tracking_uri)
        return opened

    def _prepare_files(self) -> None:
        """The bucket may be down while the runs can still be listed, so it is asked last."""
        if self._settings.minio_endpoint and not self._files_ready:
            s3.prepare(self._settings)
            self._files_ready = True

    def _fill(
        self,
        client: MlflowClient,
        run_id: str,
        trace: RoutingTrace,
        tags: Mapping[str, str],
        created: datetime,
    ) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        measures = measure(trace)
        # The same time stamp at every try: MLflow keeps a metric once.
        now = _milliseconds(created)
        size = 0
        with self.folder() as folder:
            for artifact in content.artifacts(trace, measures, self._draw):
                self._give_way()
                path = folder / artifact.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(artifact.content)
                size += len(artifact.content)
            self._give_way()
            client.log_artifacts(run_id, str(folder))
        self._give_way()
        last = {content.TAG_SIZE: str(size), content.TAG_LINK: f"/runs/{run_id}"}
        client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, now, step)
                for name, value, step in content.metrics(trace, measures)
            ],
            params=[Param(name, value) for name, value in content.params(trace).items()],
            tags=[RunTag(name, value) for name, value in {**tags, **last}.items()],
        )
        self._give_way()
        context = [InputTag("mlflow.data.context", "analysis")]
        client.log_inputs(run_id, [DatasetInput(Dataset(**content.dataset(trace)), context)])

    def _remove_others(self, client: MlflowClient, analysis_id: str, run_id: str) -> None:
        """A call that was given up may have made a run after all."""
        for other in self._tagged(content.TAG_ANALYSIS, analysis_id):
            if other.info.run_id != run_id:
                client.delete_run(other.info.run_id)

    def _by_run_id(self, run_id: str) -> Run | None:
        client, _, experiments = self.open()
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        whole = (
            run.info.experiment_id in experiments
            and run.info.lifecycle_stage == "active"
            and run.info.status == "FINISHED"
            and _is_ours(run)
        )
        return run if whole else None

    def _tagged(self, tag: str, value: str, condition: str = "") -> list[Run]:
        """The active runs with a tag, the oldest first."""
        client, _, experiments = self.open()
        wanted = f"tags.`{tag}` = '{value}'" + (f" and {condition}" if condition else "")
        found = client.search_runs(
            experiments, wanted, max_results=10, order_by=["attributes.start_time ASC"]
        )
        return list(found)

    def _search(
        self, wanted: str, limit: int, cursor: str | None, order: str
    ) -> tuple[list[Run], str | None]:
        if cursor and not cursor.isascii():
            raise InvalidQueryError("the cursor is not one of this list")
        with self._reading("search the runs"):
            client, _, experiments = self.open()
            from mlflow.exceptions import MlflowException

            try:
                page = client.search_runs(
                    experiments,
                    wanted,
                    max_results=limit,
                    order_by=[order],
                    page_token=cursor or None,
                )
            except MlflowException as error:
                if cursor is not None and error.error_code == "INVALID_PARAMETER_VALUE":
                    raise InvalidQueryError("the cursor is not one of this list") from None
                raise
        token: Any = page.token
        # A server gives text, a database bytes.
        return list(page), (token.decode() if isinstance(token, bytes) else token) or None

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """For visitors: says no at once if the store was down a moment ago."""
        until, reason = self._refused
        if time.monotonic() < until:
            raise StoreDownError(reason)
        with self._calls, self._refusing(), self._trying(what):
            yield

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except StoreDownError as error:
            self._refused = (time.monotonic() + _REFUSE_SECONDS, str(error))
            raise
        self._refused = (0.0, "")

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        try:
            with one_line(what, self._settings):
                if self._opened is not None:
                    check_database(self._settings.tracking_uri)
                yield
        except StoreDownError:
            # What was prepared may be gone, a bucket for instance.
            self._opened, self._files_ready = None, False
            raise

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for a moment."""
        base = self._settings.data_dir / "tmp"
        with one_line("make a folder for the run's files", self._settings):
            base.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(dir=base)
        with temporary as folder:
            yield Path(folder)

    def _remove_left_behind(self) -> None:
        """Folders of a process that was killed."""
        import shutil

        for folder in (self._settings.data_dir / "tmp").glob("tmp*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                    shutil.rmtree(folder)


def _is_ours(run: Run) -> bool:
    return any(tag in run.data.tags for tag in _KINDS.values())


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _like(tag: str, part: str) -> str:
    """A filter for tags that hold `part`; what the filter can't say matches any character."""
    return f"tags.`{tag}` ILIKE '%{plain(part)}%'"
