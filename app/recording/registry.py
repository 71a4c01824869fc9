"""MLflow's model registry: which models there are, and which version of each answers.

The alias `champion` names that version, and whoever sets it elsewhere, in MLflow's own pages for
instance, is followed. What happens to versions is kept in tags, with its time.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.recording import s3
from app.recording.base import InvalidQueryError, RecordingError
from app.recording.faults import one_line
from app.recording.registered import (
    CHALLENGER,
    CHAMPION,
    ModelNotFoundError,
    Registered,
    Version,
)
from app.recording.registering import register
from app.recording.registry_client import asked_version, model_of, models_of, note
from app.recording.registry_tags import version_of
from app.recording.tracking import check_database, open_client
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# Where a version's files lie among those of its run.
MODEL = "model"
# A crowd would use up the connections that sqlite's pool offers.
_MOST_CALLS = 4


class Registry:
    """The models that were trained here. Safe to use from any thread.

    Importing mlflow takes seconds, so it happens on first use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._changing = threading.Lock()
        self._calls = threading.Semaphore(_MOST_CALLS)
        self._opened: MlflowClient | None = None

    def models(self) -> list[Registered]:
        """All of them by name, those without a version left out. Raises RecordingError."""
        with self._client("list the models") as client:
            return [each for each in models_of(client) if each.versions]

    def model(self, name: str) -> Registered:
        """One by its name. Raises ModelNotFoundError or RecordingError."""
        with self._client("look up the model") as client:
            return model_of(client, name)

    def version(self, name: str, chosen: str | int = CHAMPION) -> Version:
        """A version by its alias or number, unless it is retired; its role is not looked up.

        Raises ModelNotFoundError or RecordingError.
        """
        with self._client("look up the model") as client:
            found = asked_version(client, name, chosen)
            if found is None:
                model_of(client, name)  # says so if there is no such model at all
                which = f"version {chosen}" if isinstance(chosen, int) else chosen
                raise ModelNotFoundError(f"«{name}» has no {which}")
        version = version_of(found)
        if version.role == "retired":
            raise _retired(name, version.version)
        return version

    def of_run(self, run_id: str) -> Version | None:
        """The version of a run, None without one. Raises RecordingError."""
        with self._client("look up the model") as client:
            found = next(iter(client.search_model_versions(f"run_id = '{run_id}'")), None)
            return None if found is None else version_of(found, model_of(client, found.name))

    @contextmanager
    def folder(self, version: Version) -> Iterator[Path]:
        """The files of a version, for a moment. Raises RecordingError."""
        from mlflow.utils.file_utils import local_file_uri_to_path

        # What lies on this disk is not copied.
        if version.source.startswith(("file:", "/")):
            place = Path(local_file_uri_to_path(version.source))  # type: ignore[no-untyped-call]
            if not place.is_dir():
                raise RecordingError(
                    f"the files of version {version.version} of «{version.name}» are gone"
                )
            yield place
            return
        base = self._settings.data_dir / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as made:
            with self._client("read the model") as client:
                if self._settings.minio_endpoint:
                    s3.prepare(self._settings)
                place = Path(client.download_artifacts(version.run_id, MODEL, made))
            yield place

    def register(
        self,
        title: str,
        run_id: str,
        source: str,
        tags: Mapping[str, str],
        about: str,
        follows: str = "",
    ) -> Version:
        """The version of a run whose files lie at `source`, made unless there is one.

        It is one of the model that has the version of the training `follows`, or else is named
        after the `title` and predicts the same; without any it begins a new model. A model's
        first version becomes its champion, a later one the challenger until it is promoted.
        Raises RecordingError.
        """
        with self._changing, self._client("register the model") as client:
            return register(client, title, run_id, source, tags, about, follows)

    def promote(self, name: str, version: int) -> Registered:
        """Makes a version the champion. Raises ModelNotFoundError or RecordingError."""
        with self._changing, self._client("promote the model") as client:
            model = _with(model_of(client, name), version)
            if version != model.champion:
                note(client, model, "promoted", version)
                client.set_registered_model_alias(name, CHAMPION, str(version))
            if version == model.challenger:
                client.delete_registered_model_alias(name, CHALLENGER)
            return model_of(client, name)

    def roll_back(self, name: str) -> Registered:
        """Makes the champion before this one the champion again. Raises ModelNotFoundError,
        InvalidQueryError if there is none, or RecordingError."""
        with self._changing, self._client("roll the model back") as client:
            model = model_of(client, name)
            previous = model.previous
            if previous is None:
                raise InvalidQueryError(f"«{name}» has no champion before this one")
            if model.champion is not None:
                note(client, model, "rolled back", model.champion)
            client.set_registered_model_alias(name, CHAMPION, str(previous))
            return model_of(client, name)

    def retire(self, name: str, version: int) -> Registered:
        """Takes a version out of service for good. A model whose champion is retired answers
        again when another is promoted. Raises ModelNotFoundError or RecordingError."""
        with self._changing, self._client("retire the model") as client:
            model = _with(model_of(client, name), version)
            for alias, of in ((CHAMPION, model.champion), (CHALLENGER, model.challenger)):
                if of == version:
                    client.delete_registered_model_alias(name, alias)
            note(client, model, "retired", version)
            return model_of(client, name)

    @contextmanager
    def _client(self, what: str) -> Iterator[MlflowClient]:
        with self._calls, one_line(what, self._settings):
            with self._opening:
                if self._opened is None:
                    self._settings.data_dir.mkdir(parents=True, exist_ok=True)
                    self._opened = open_client(self._settings.tracking_uri)
            check_database(self._settings.tracking_uri)
            yield self._opened


def _with(model: Registered, version: int) -> Registered:
    """A model that has this version, not retired. Raises ModelNotFoundError."""
    role = next((each.role for each in model.versions if each.version == version), None)
    if role is None:
        raise ModelNotFoundError(f"«{model.name}» has no version {version}")
    if role == "retired":
        raise _retired(model.name, version)
    return model


def _retired(name: str, version: int) -> ModelNotFoundError:
    return ModelNotFoundError(f"version {version} of «{name}» is retired")
