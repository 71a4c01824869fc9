"""Which of MLflow's experiments hold the runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.recording import s3
from app.recording.base import StoreDownError
from app.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_NOT_IN_A_FILTER = re.compile(r"""['"`\\%_]""")


class Opened(NamedTuple):
    """A client; `experiment` is where runs are written, `experiments` where they are read."""

    client: MlflowClient
    experiment: str
    experiments: list[str]


def open_experiments(
    client: MlflowClient, settings: Settings, prepare_files: Callable[[], None]
) -> Opened:
    """Finds the experiments, and makes the one to write to if there is none.

    An experiment's place for files never changes: if the runs' files are to go elsewhere than
    before, say into a bucket from now on, new runs go to another experiment, named after that
    place, and the old ones are read as ever. `prepare_files` is called before one is made.
    Raises StoreDownError, or whatever MLflow raises.
    """
    base = settings.mlflow_experiment
    other = f"{base}@{settings.minio_bucket if settings.minio_endpoint else 'local'}"
    wanted = _place(settings)
    written = _experiment(client, base, wanted, prepare_files)
    written = written or _experiment(client, other, wanted, prepare_files)
    if written is None:
        raise StoreDownError(
            f"MLflow's experiments «{base}» and «{other}» keep their files elsewhere; "
            "set MLFLOW_EXPERIMENT_NAME to another"
        )
    read = [written]
    if found := client.get_experiment_by_name(base):
        read.append(found.experiment_id)
    others = client.search_experiments(filter_string=f"name LIKE '{plain(base)}@%'")
    read += [found.experiment_id for found in others]
    return Opened(client, written, list(dict.fromkeys(read)))


def plain(text: str) -> str:
    """A text as part of a pattern in MLflow's filters, where not every character can be
    named: those match any."""
    return _NOT_IN_A_FILTER.sub("_", text)


def _experiment(
    client: MlflowClient, name: str, wanted: str | None, prepare_files: Callable[[], None]
) -> str | None:
    """The id of an experiment, made if need be; None if its files lie elsewhere."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        prepare_files()
        try:
            return str(client.create_experiment(name, wanted))
        except MlflowException:
            # Another process may have made it in between.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise StoreDownError(
            f"MLflow's experiment «{name}» is deleted; "
            "restore it or set MLFLOW_EXPERIMENT_NAME to another"
        )
    here = wanted is None or found.artifact_location.rstrip("/") == wanted
    return str(found.experiment_id) if here else None


def _place(settings: Settings) -> str | None:
    """Where files are to go; None leaves it to the tracking server."""
    if settings.minio_endpoint:
        return s3.location(settings)
    if settings.tracking_uri.startswith(("http://", "https://")):
        return None
    folder: Path = settings.data_dir / "artifacts"
    return folder.as_uri()
