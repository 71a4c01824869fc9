"""MLflow's client, with bounded waiting, and what its SQLite database needs besides."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from app.recording.base import StoreDownError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_LOCKED_SECONDS = 3.0
# A new database has its tables in a few seconds, on a busy machine.
_OPENING_SECONDS = 60.0


def open_client(uri: str) -> MlflowClient:
    """A client of the tracking store there. Raises as `check_database` does, or whatever
    MLflow raises."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    with _alone(uri):
        check_database(uri)
        return MlflowClient(uri)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Two that open a new database at once both make its tables, and one fails."""
    file = _file_of(uri)
    if file is None:
        yield
        return
    try:
        lock = FileLock(f"{file}.lock").acquire(_OPENING_SECONDS)
    except Timeout as error:
        raise StoreDownError("MLflow's database is being opened by another process") from error
    with lock:
        yield


def _file_of(uri: str) -> Path | None:
    """The file of an SQLite database; None for any other store."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def check_database(uri: str) -> None:
    """Raises at once when a database can't be used: MLflow would try for an hour to open it,
    and waits 20 seconds for one that is locked."""
    if uri.startswith(("http://", "https://", "file:")):
        return
    if file := _file_of(uri):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(file, timeout=_LOCKED_SECONDS)) as database:
                database.execute("select count(*) from sqlite_master")
        except sqlite3.Error as error:
            locked = "locked by another process" if "locked" in str(error) else str(error)
            raise StoreDownError(f"MLflow's database can't be used: {locked}") from error
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def analyse(uri: str) -> None:
    """Without statistics SQLite takes seconds to sort ten thousand runs by a metric."""
    file = _file_of(uri)
    if file is None:
        return
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(file, timeout=1.0)) as database,
    ):
        database.execute("pragma analysis_limit = 1000")
        database.execute("begin immediate")
        # Connections that are open read new statistics only when a table comes or goes.
        database.execute("drop table if exists sqlite_stat1")
        database.execute("analyze")
        database.commit()
