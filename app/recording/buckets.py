"""Administration of the S3 store's buckets: what the command line's `bucket` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.recording import s3
from app.recording.base import RecordingError, StoreDownError
from app.recording.faults import one_line
from app.recording.s3_faults import chain, code_of, refusal
from app.recording.tracking import open_client
from app.settings import Settings

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Object
    from mlflow.tracking import MlflowClient

# Removing a thousand objects takes a store longer than what a page would wait for.
_PATIENCE_SECONDS = 120.0
_BATCH = 1000
_MOST_ROUNDS = 20
_RUNS_PER_PAGE = 500
_RUN_FOLDER = re.compile(r"(?:^|/)([0-9a-f]{32})/artifacts/")


class NoBucketError(LookupError):
    """There is no bucket of that name; the message is one short line."""


@dataclass(frozen=True)
class Contents:
    """What lies in a bucket: how many objects, and the bytes of all it holds.

    `entries` counts what has to be removed to empty it: old versions and empty folders too.
    `run_ids` are the MLflow runs that objects are filed under, by their names.
    """

    objects: int
    size: int
    entries: int
    run_ids: frozenset[str]


class Buckets:
    """The buckets of the configured store. Raises RecordingError where it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Minio = s3.client(settings, _PATIENCE_SECONDS)

    def names(self) -> list[tuple[str, datetime | None]]:
        """All buckets in order of their names, with the time in UTC that each was made."""
        with s3.asking(self._settings, "list the buckets"):
            found = self._client.list_buckets()
        return sorted((bucket.name, bucket.creation_date) for bucket in found)

    def create(self, name: str) -> bool:
        """Makes a bucket; whether there was none."""
        from minio.error import S3Error

        with s3.asking(self._settings, f"create the bucket «{name}»"):
            try:
                self._client.make_bucket(name)
            except S3Error as error:
                if error.code == "BucketAlreadyOwnedByYou":
                    return False
                if error.code == "BucketAlreadyExists":
                    raise RecordingError(f"the bucket «{name}» belongs to somebody else") from error
                raise
        return True

    def contents(self, name: str) -> Contents:
        """Raises NoBucketError."""
        objects = size = entries = 0
        run_ids = set()
        for found in self._objects(name):
            entries += 1
            size += found.size or 0
            is_old = found.is_delete_marker or found.is_latest == "false"
            is_folder = found.is_dir and not found.size
            objects += not is_old and not is_folder
            if match := _RUN_FOLDER.search(str(found.object_name)):
                run_ids.add(match[1])
        return Contents(objects, size, entries, frozenset(run_ids))

    def known_runs(self, name: str, contents: Contents) -> int:
        """How many runs that MLflow knows, of any experiment, keep their files in the bucket.

        One whose files go through MLflow's own server counts if objects are filed under it.
        """
        uri = self._settings.tracking_uri
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            return 0  # Asking MLflow would make the database.
        with one_line("ask MLflow for its runs", self._settings):
            client = open_client(uri)
            experiments = _experiments(client)
            here = set(_runs(client, experiments, f"s3://{name}/%"))
            if contents.run_ids:
                served = set(_runs(client, experiments, "mlflow-artifacts:%"))
                here |= served & contents.run_ids
            return len(here)

    def remove(self, name: str, progress: Callable[[int, int], object]) -> None:
        """Empties a bucket in batches, then removes it; tells `progress` after each batch how
        many are removed of how many.

        Raises NoBucketError, or RecordingError with what is in the way. What is removed until
        then stays removed, and removing it again goes on.
        """
        self._give_up_uploads(name)
        # Some stores leave folders behind when many objects go at once, so look again.
        done = 0
        for round_ in range(_MOST_ROUNDS):
            left = list(self._objects(name))
            if not left:
                break
            total = done + len(left)
            for start in range(0, len(left), _BATCH):
                batch = left[start : start + _BATCH]
                self._remove_objects(name, batch, singly=round_ > 0)
                done += len(batch)
                progress(done, total)
        with self._asking(name, "remove"):
            from minio.error import S3Error

            try:
                self._client.remove_bucket(name)
            except S3Error as error:
                if error.code != "BucketNotEmpty":
                    raise
                raise RecordingError(
                    f"the bucket «{name}» does not get empty: something still writes to it"
                ) from error

    def _objects(self, name: str) -> Iterator[Object]:
        """All objects of a bucket, where it keeps versions every one of them."""
        with self._asking(name, "list"):
            versions = self._keeps_versions(name)
            yield from self._client.list_objects(name, recursive=True, include_version=versions)

    def _keeps_versions(self, name: str) -> bool:
        from minio.error import S3Error

        try:
            # Also once they were switched off: the old ones are still there.
            return self._client.get_bucket_versioning(name).status in ("Enabled", "Suspended")
        except S3Error as error:
            if error.code == "NotImplemented":
                return False
            raise

    def _remove_objects(self, name: str, batch: Sequence[Object], singly: bool) -> None:
        from minio.deleteobjects import DeleteObject

        doing = "remove objects of"
        with self._asking(name, doing):
            wanted = [(str(found.object_name), found.version_id) for found in batch]
            if singly:
                for object_name, version in wanted:
                    self._client.remove_object(name, object_name, version)
                return
            several = [DeleteObject(object_name, version) for object_name, version in wanted]
            refused = [error.code or "" for error in self._client.remove_objects(name, several)]
        if refused:
            raise RecordingError(refusal(refused[0], self._settings, self._doing(name, doing)))

    def _give_up_uploads(self, name: str) -> None:
        """Those in parts that were begun and never ended: they take room and are never listed.

        A store that does not offer this, or not to us, clears them away by itself.
        """
        from botocore.exceptions import ClientError

        with self._asking(name, "remove uploads of"):
            client = s3.boto_client(self._settings, _PATIENCE_SECONDS)
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=name)
            try:
                for page in pages:
                    for upload in page.get("Uploads", ()):
                        client.abort_multipart_upload(
                            Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
            except ClientError as error:
                if code_of(error) not in ("AccessDenied", "NotImplemented", "MethodNotAllowed"):
                    raise

    @contextmanager
    def _asking(self, name: str, doing: str) -> Iterator[None]:
        try:
            with s3.asking(self._settings, self._doing(name, doing)):
                yield
        except StoreDownError as error:
            if any(code_of(link) == "NoSuchBucket" for link in chain(error)):
                raise NoBucketError(f"there is no bucket «{name}»") from error
            raise

    def _doing(self, name: str, doing: str) -> str:
        return f"{doing} the bucket «{name}»"


def _experiments(client: MlflowClient) -> list[str]:
    """Ids of all experiments, deleted ones too: their runs can be brought back."""
    from mlflow.entities import ViewType

    found: list[str] = []
    token: str | None = None
    while token is None or token:
        page = client.search_experiments(view_type=ViewType.ALL, page_token=token)
        found.extend(experiment.experiment_id for experiment in page)
        token = page.token or ""
    return found


def _runs(client: MlflowClient, experiments: list[str], place: str) -> Iterator[str]:
    """Ids of the active runs whose files lie at a place, given as a pattern."""
    token: str | None = None
    while token is None or token:
        page = client.search_runs(
            experiments,
            f"attributes.artifact_uri LIKE '{place}'",
            max_results=_RUNS_PER_PAGE,
            page_token=token,
        )
        yield from (run.info.run_id for run in page)
        token = page.token or ""
