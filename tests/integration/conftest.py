"""Real stores, real servers, real processes for the integration tests."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.analysis import Analyst, analysis_key, figures_of
from app.recording.base import Entry
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.capture import capture
from app.routing.models import ModelRegistry
from app.server import build
from app.settings import Settings, load_settings
from tests.forked import run_forked
from tests.integration.helpers import (
    ROOT,
    Command,
    Environment,
    Folder,
    MakeEntry,
    is_ready,
    serving,
    until,
)
from tests.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Makes data folders with an empty MLflow database: making one anew takes seconds."""
    template = tmp_path_factory.mktemp("template")
    recorder = MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=template), figures_of)
    recorder.start()
    recorder.close()
    database = template / "mlflow.db"

    def make() -> Path:
        folder = tmp_path_factory.mktemp("data")
        shutil.copy(database, folder)
        # The experiment of the template keeps its files in the template's folder.
        with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
            connection.execute("delete from experiments where name = 'moescope'")
        return folder

    return make


@pytest.fixture
def settings(data_folder: Folder) -> Settings:
    """The default settings with a data folder of their own."""
    return load_settings(MOESCOPE_DATA_DIR=data_folder())


@pytest.fixture(scope="session")
def registry() -> ModelRegistry:
    """The bundled model, loaded once for all tests."""
    found = load_settings()
    registry = ModelRegistry(found.model_specs(), found.dtype, found.threads)
    registry.get(registry.default, 120)
    return registry


@pytest.fixture
def recorder(settings: Settings) -> Iterator[MlflowRecorder]:
    recorder = MlflowRecorder(settings, figures_of)
    yield recorder
    recorder.close()


@pytest.fixture
def analyst(registry: ModelRegistry, recorder: MlflowRecorder) -> Analyst:
    return Analyst(registry, recorder, 512)


@pytest.fixture(scope="session")
def make_entry(registry: ModelRegistry) -> MakeEntry:
    """Makes what is recorded of a text, with its own key."""

    def make(text: str) -> Entry:
        trace = capture(registry.get(registry.default), text, 512)
        return Entry(trace, analysis_key(trace))

    return make


@pytest.fixture(scope="module")
def server(data_folder: Folder) -> Iterator[str]:
    """A really started server with the bundled model; gives its address."""
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data_folder()))) as address:
        until(lambda: is_ready(address))
        yield address


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server; tests that take it down use one of their own."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def environment() -> Environment:
    """The environment of a process of the app: this one's and some settings."""

    def make(**settings: object) -> dict[str, str]:
        return os.environ | {name: str(value) for name, value in settings.items()}

    return make


@pytest.fixture
def command(data_folder: Folder, environment: Environment) -> Command:
    """Runs `python -m app …` with a data folder of its own."""
    folder = data_folder()

    def run(*arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {"MOESCOPE_DATA_DIR": folder} | options.pop("settings", {})
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env=environment(**settings),
            capture_output=True,
            timeout=120,
            check=False,
            **({"text": True} | options),
        )

    return run


@pytest.fixture
def forked(data_folder: Folder, environment: Environment) -> Command:
    """The same without the seconds that a start takes, see tests/forked.py."""
    folder = data_folder()

    def run(*arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {"MOESCOPE_DATA_DIR": folder} | options.pop("settings", {})
        return run_forked(arguments, environment(**settings), **options)

    return run
