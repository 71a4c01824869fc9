"""Killed at any moment, the app loses no analysis that it accepted and makes no run twice."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from minio import Minio
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from app.analysis import figures_of
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.trace import RoutingTrace
from app.settings import load_settings
from tests.forked import CONTEXT
from tests.integration.crashing import entry, work
from tests.integration.helpers import Folder, MakeEntry
from tests.s3 import S3Server

KILLS_PER_ANALYSIS = 4
# A process is as often still opening the store as writing, or done.
LONGEST_SECONDS = 0.8


@pytest.fixture
def stored(data_folder: Folder, s3: S3Server) -> Iterator[dict[str, str]]:
    """Settings of a data folder and a bucket of their own."""
    folder = data_folder()
    yield {"MOESCOPE_DATA_DIR": str(folder), **s3.settings("crashes")}
    shutil.rmtree(folder)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_every_acknowledged_analysis_is_there_exactly_once_after_many_kills(
    stored: dict[str, str], s3: S3Server, make_entry: MakeEntry, kills: int
) -> None:
    template = make_entry("The river bank was closed.").trace
    chance = random.Random(7)
    acknowledged: dict[int, str] = {}
    analyses = kills // KILLS_PER_ANALYSIS
    done = 0
    for kill in range(kills):
        wanted = range(1 + kill // KILLS_PER_ANALYSIS)
        missing = [number for number in wanted if number not in acknowledged]
        lasting = chance.uniform(0, LONGEST_SECONDS)
        done += _run(stored, template, missing, acknowledged, lasting)
    assert done < kills // 2, "most were killed when nothing was left to do"
    missing = [number for number in range(analyses) if number not in acknowledged]
    assert _run(stored, template, missing, acknowledged, None)
    assert len(acknowledged) == analyses

    settings = load_settings(**stored)
    client = MlflowClient(settings.tracking_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name.startswith("moescope")]
    runs = client.search_runs(
        [experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY, max_results=1000
    )
    found = [run.data.tags["moescope.analysis"] for run in runs]
    assert sorted(found) == sorted(acknowledged.values())
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert_whole(s3.client, run)
    recorder = MlflowRecorder(settings, figures_of)
    for number, id_ in acknowledged.items():
        assert recorder.load(id_).trace == entry(template, number).trace
    recorder.close()


def _run(
    settings: dict[str, str],
    template: RoutingTrace,
    numbers: list[int],
    acknowledged: dict[int, str],
    seconds: float | None,
) -> bool:
    """Lets a process record, for some seconds at most; whether it had nothing left to do."""
    told, tells = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=work, args=(settings, template.to_bytes(), numbers, tells))
    process.start()
    tells.close()
    process.join(120 if seconds is None else seconds)
    process.kill()
    process.join()
    try:
        while True:
            message = told.recv()
            if message == "done":
                return True
            number, id_ = message
            assert acknowledged.setdefault(number, id_) == id_
    except EOFError:
        return False
    finally:
        told.close()


def assert_whole(client: Minio, run: Any) -> None:
    """A run's files in the bucket are those that were meant, to the byte."""
    bucket, _, prefix = run.info.artifact_uri.removeprefix("s3://").partition("/")
    names = [o.object_name for o in client.list_objects(bucket, f"{prefix}/", recursive=True)]
    files = {str(name).removeprefix(f"{prefix}/"): name for name in names}

    def content(name: str) -> bytes:
        answer = client.get_object(bucket, name)
        with answer:
            return bytes(answer.read())

    lines = content(f"{prefix}/SHA256SUMS").decode().splitlines()
    sums = {name: sum_ for sum_, name in (line.split("  ") for line in lines)}
    assert {*sums, "SHA256SUMS"} == {name for name in files if not name.endswith("/")}
    for name, sum_ in sums.items():
        assert hashlib.sha256(content(f"{prefix}/{name}")).hexdigest() == sum_


def test_the_app_takes_up_what_waits_after_a_kill(
    data_folder: Folder, make_entry: MakeEntry
) -> None:
    template = make_entry("The river bank was closed.").trace
    folder = data_folder()
    # A tracking server that does not exist: everything waits.
    settings = {"MOESCOPE_DATA_DIR": str(folder), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    acknowledged: dict[int, str] = {}
    assert not _run(settings, template, [0, 1, 2], acknowledged, 2.0)
    assert len(acknowledged) == 3
    recorder = MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=folder), figures_of)
    assert recorder.state().pending == 3
    recorder.start()
    for number, id_ in acknowledged.items():
        assert recorder.receipt(id_, 60).status == "recorded"
        assert recorder.load(id_).trace == entry(template, number).trace
    recorder.close()
