"""MLflow as the store: an analysis is a run of one experiment."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.recording import content, s3
from app.recording.base import (
    Entry,
    InvalidCursorError,
    RecordingError,
    RunNotFoundError,
)
from app.recording.measures import measure
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # By default a store that does not answer holds a call for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_ID = re.compile(r"[0-9a-f]{32}")
_USER_INFO = re.compile(r"//[^/@\s]+@")
_NOT_IN_A_FILTER = re.compile(r"""['"`\\%_]""")
# A crowd of readers would use up the connections that sqlite's pool offers.
_MOST_CALLS = 8


class MlflowStore:
    """Writes and reads runs. Opened on first use; every error is a RecordingError.

    Importing mlflow takes seconds, so it happens when the store is opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._calls = threading.Semaphore(_MOST_CALLS)
        self._opened: tuple[MlflowClient, str] | None = None

    def open(self) -> tuple[MlflowClient, str]:
        """The client and the experiment's id. Raises RecordingError."""
        with self._opening:
            if self._opened is None:
                started = time.monotonic()
                with _one_error("open the store"):
                    self._opened = self._open()
                log.info("the store is open after %.1f s", time.monotonic() - started)
            return self._opened

    def write(self, analysis_id: str, entry: Entry, created: datetime) -> str:
        """Writes a whole run; gives its id once nothing is missing."""
        client, experiment = self.open()
        with _one_error("write the run"):
            run = client.create_run(
                experiment,
                start_time=int(created.timestamp() * 1000),
                run_name=content.text_beginning(entry.trace.text),
            )
            run_id: str = run.info.run_id
            try:
                self._fill(client, run_id, analysis_id, entry)
                client.set_terminated(run_id, "FINISHED")
            except Exception:
                _try(lambda: client.set_terminated(run_id, "FAILED"))
                raise
        return run_id

    def run_of_key(self, key: str) -> Run | None:
        """The newest recorded run of a key."""
        return self._first(content.TAG_KEY, key)

    def run(self, id_: str) -> Run:
        """The recorded run with this id, MLflow's own or the analysis's.

        Raises RunNotFoundError for anything that is no whole analysis of the experiment.
        """
        if not _ID.fullmatch(id_):
            raise RunNotFoundError("there is no such run")
        run = self._by_run_id(id_) or self._first(content.TAG_ANALYSIS, id_)
        if run is None:
            raise RunNotFoundError("there is no such run")
        return run

    def file(self, run_id: str, path: str) -> bytes:
        """The content of one of a run's files."""
        client, _ = self.open()
        with self._call("read the run's files"), self._folder() as folder:
            return Path(client.download_artifacts(run_id, path, str(folder))).read_bytes()

    def search(
        self, limit: int, cursor: str | None, model: str | None, query: str | None
    ) -> tuple[list[Run], str | None]:
        """Recorded runs, newest first, whose text may hold `query`.

        The store's pattern can't name every character, so the caller checks the hits.
        """
        conditions = ["attributes.status = 'FINISHED'", _tag_like(content.TAG_ANALYSIS, "")]
        if model:
            conditions.append(_tag_like(content.TAG_MODEL, model))
        if query:
            conditions.append(_tag_like(content.TAG_TEXT, query))
        return self._search(" and ".join(conditions), limit, cursor)

    def _open(self) -> tuple[MlflowClient, str]:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        location = self._artifact_location()
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        _check_database(settings.tracking_uri)
        client = MlflowClient(settings.tracking_uri)
        name = settings.mlflow_experiment
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return client, client.create_experiment(name, location)
            except MlflowException:
                # Another process may have made it in between.
                experiment = client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage != "active":
            raise RecordingError(
                f"MLflow's experiment «{name}» is deleted; "
                "restore it or set MLFLOW_EXPERIMENT_NAME to another"
            )
        return client, experiment.experiment_id

    def _artifact_location(self) -> str | None:
        settings = self._settings
        if settings.minio_endpoint:
            return s3.prepare(settings)
        if settings.tracking_uri.startswith(("http://", "https://")):
            return None
        folder: Path = settings.data_dir / "artifacts"
        return folder.as_uri()

    def _fill(self, client: MlflowClient, run_id: str, analysis_id: str, entry: Entry) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        measures = measure(entry.trace)
        client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, now, step)
                for name, value, step in content.metrics(entry.trace, measures)
            ],
            params=[Param(name, value) for name, value in content.params(entry.trace).items()],
            tags=[
                RunTag(name, value)
                for name, value in content.tags(entry, analysis_id, run_id).items()
            ],
        )
        with self._folder() as folder:
            for artifact in content.artifacts(entry, measures):
                path = folder / artifact.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(artifact.content)
            client.log_artifacts(run_id, str(folder))

    def _by_run_id(self, run_id: str) -> Run | None:
        client, experiment = self.open()
        from mlflow.exceptions import MlflowException

        with self._call("look up the run"):
            try:
                run = client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
        whole = (
            run.info.experiment_id == experiment
            and run.info.lifecycle_stage == "active"
            and run.info.status == "FINISHED"
            and content.TAG_ANALYSIS in run.data.tags
        )
        return run if whole else None

    def _first(self, tag: str, value: str) -> Run | None:
        wanted = f"attributes.status = 'FINISHED' and tags.`{tag}` = '{value}'"
        runs, _ = self._search(wanted, 1, None)
        return runs[0] if runs else None

    def _search(self, wanted: str, limit: int, cursor: str | None) -> tuple[list[Run], str | None]:
        client, experiment = self.open()
        from mlflow.exceptions import MlflowException

        if cursor and not cursor.isascii():
            raise InvalidCursorError("the cursor is not one of this list")
        with self._call("search the runs"):
            try:
                page = client.search_runs(
                    [experiment],
                    wanted,
                    max_results=limit,
                    order_by=["attributes.start_time DESC"],
                    page_token=cursor or None,
                )
            except MlflowException as error:
                if cursor is not None and error.error_code == "INVALID_PARAMETER_VALUE":
                    raise InvalidCursorError("the cursor is not one of this list") from None
                raise
        return list(page), page.token or None

    @contextmanager
    def _call(self, what: str) -> Iterator[None]:
        with self._calls, _one_error(what):
            yield

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        base = self._settings.data_dir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as folder:
            yield Path(folder)


def _check_database(uri: str) -> None:
    """Raises at once when a database can't be opened; MLflow would try for an hour."""
    if uri.startswith(("http://", "https://", "file:")):
        return
    import sqlalchemy

    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _tag_like(tag: str, part: str) -> str:
    """A filter for tags that hold `part`; what the filter can't say matches any character."""
    return f"tags.`{tag}` ILIKE '%{_NOT_IN_A_FILTER.sub('_', part)}%'"


@contextmanager
def _one_error(what: str) -> Iterator[None]:
    """Turns whatever a store raises into one RecordingError with one line."""
    try:
        yield
    except (RecordingError, RunNotFoundError, InvalidCursorError):
        raise
    except Exception as error:
        log.exception("failed to %s", what)
        first = (str(error).strip().splitlines() or [""])[0]
        reason = _USER_INFO.sub("//", f"{type(error).__name__}: {first}")[:200]
        raise RecordingError(f"can't {what} ({reason})") from error


def _try(action: Callable[[], Any]) -> None:
    """For the last words about a run that has failed already."""
    try:
        action()
    except Exception as error:
        log.warning("a failed run stays marked as running: %s", type(error).__name__)
