"""Stores that are down in every way there is: nothing is lost, and nobody waits for them."""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.tracking import MlflowClient

from app.analysis import figures_of
from app.recording.mlflow_recorder import MlflowRecorder
from app.server import build
from app.settings import load_settings
from tests.integration.helpers import Folder, MakeEntry, free_port, is_ready, serving, until
from tests.integration.test_crashes import assert_whole
from tests.s3 import S3Server, s3_server

# Far more than an answer takes, far less than a store that hangs would cost.
PATIENCE_SECONDS = 10.0
Settings = dict[str, str]


@contextmanager
def silent() -> Iterator[str]:
    """Takes connections and never answers; gives host and port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def failing() -> Iterator[str]:
    """Answers every request with an error; gives host and port."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_error(500, "out of order")

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextmanager
def refusing() -> Iterator[str]:
    """Nobody listens there."""
    yield f"127.0.0.1:{free_port()}"


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[httpx.Client]:
    """A really started server; its client gives up on an answer that takes too long."""
    app = build(load_settings(MOESCOPE_DATA_DIR=folder, **settings))
    with serving(app) as address:
        until(lambda: is_ready(address))
        with httpx.Client(base_url=address, timeout=PATIENCE_SECONDS) as client:
            yield client


def analyse(client: httpx.Client, text: str, record: bool = True) -> Any:
    answer = client.post("/api/v1/analyses", json={"text": text, "record": record})
    assert answer.is_success, answer.text
    return answer.json()


def store(client: httpx.Client) -> Any:
    return client.get("/api/v1/store").json()


def assert_it_lives(client: httpx.Client, name: str) -> None:
    """What people do while they type goes on, and what was accepted opens."""
    for number in range(3):
        analyse(client, f"{name}, typing goes on {number}", record=False)
        assert client.get("/").status_code == 200
        assert client.get("/healthz").status_code == 200


def assert_it_waits(client: httpx.Client, text: str, reason: str) -> str:
    """An analysis is accepted, opens, and says why it is not in the store yet; gives its id."""
    accepted = analyse(client, text)
    assert accepted["status"] == "pending"
    until(lambda: store(client)["down"] != "")
    state = store(client)
    assert reason in state["down"]
    assert state["pending"] >= 1
    assert "\n" not in state["down"]
    assert_it_lives(client, text)
    id_: str = accepted["run_id"]
    again = client.get(f"/api/v1/analyses/{id_}").json()
    assert again["experts"] == accepted["experts"]
    assert client.get(f"/api/v1/analyses/{id_}/routing.csv").status_code == 200
    assert client.get("/runs").status_code == 200
    assert [run["run_id"] for run in client.get("/api/v1/runs").json()["runs"]][:1] == [id_]
    return id_


def assert_recorded_once(client: httpx.Client, tracking_uri: str, *ids: str) -> None:
    """After «try again», each analysis is one finished run."""
    assert client.post("/api/v1/store/retry").status_code == 202
    until(lambda: store(client) == {"pending": 0, "failed": 0, "down": "", "failure": ""})
    mlflow = MlflowClient(tracking_uri)
    experiments = [e.experiment_id for e in mlflow.search_experiments()]
    runs = mlflow.search_runs(experiments)
    found = {run.data.tags["moescope.analysis"]: run.info.status for run in runs}
    assert len(runs) == len(found)
    assert {id_: found.get(id_) for id_ in ids} == dict.fromkeys(ids, "FINISHED")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(refusing, "does not answer"), (silent, "does not answer"), (failing, "error")],
    ids=["refused", "silent", "errors"],
)
def test_a_tracking_server_that_is_down(
    data_folder: Folder, fault: Callable[[], Any], reason: str
) -> None:
    folder = data_folder()
    with (
        fault() as place,
        running(folder, MLFLOW_TRACKING_URI=f"http://u:not-to-be-seen@{place}") as client,
    ):
        waiting = assert_it_waits(client, "the tracking server is down", reason)
        assert "not-to-be-seen" not in client.get("/api/v1/store").text
    # Started again with a store that works.
    with running(folder) as client:
        assert_recorded_once(client, load_settings(MOESCOPE_DATA_DIR=folder).tracking_uri, waiting)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refusing, "MINIO_ENDPOINT"),
        (silent, "MINIO_ENDPOINT"),
        (failing, "answers with an error (HTTP 500)"),
        (None, "MINIO_ACCESS_KEY"),
    ],
    ids=["refused", "silent", "errors", "wrong key"],
)
def test_a_bucket_that_is_down(
    data_folder: Folder, s3: S3Server, fault: Callable[[], Any] | None, reason: str
) -> None:
    folder, right = data_folder(), s3.settings("down")
    if fault is None:
        wrong = {**right, "MINIO_ACCESS_KEY": "nobody"}
        with running(folder, **wrong) as client:
            waiting = assert_it_waits(client, "nobody knows the key", reason)
    else:
        with fault() as place, running(folder, **{**right, "MINIO_ENDPOINT": place}) as client:
            waiting = assert_it_waits(client, "the bucket is down", reason)
    with running(folder, **right) as client:
        assert_recorded_once(client, load_settings(MOESCOPE_DATA_DIR=folder).tracking_uri, waiting)


def test_a_bucket_that_goes_and_comes_back(data_folder: Folder) -> None:
    folder = data_folder()
    uri = load_settings(MOESCOPE_DATA_DIR=folder).tracking_uri
    with s3_server() as own, running(folder, **own.settings("coming-and-going")) as client:
        first = analyse(client, "before")
        assert first["status"] == "recorded"
        own.kill()
        waiting = assert_it_waits(client, "meanwhile", "MINIO_ENDPOINT")
        own.start()
        until(lambda: store(client)["pending"] == 0)
        for made in own.client.list_objects("coming-and-going", recursive=True):
            own.client.remove_object("coming-and-going", str(made.object_name))
        own.client.remove_bucket("coming-and-going")
        # Removed under us: it is made again, and what is kept on the local disk still opens.
        last = analyse(client, "after")
        until(lambda: store(client)["pending"] == 0)
        assert own.client.bucket_exists("coming-and-going")
        mlflow = MlflowClient(uri)
        id_ = client.get(f"/api/v1/analyses/{last['run_id']}").json()["run_id"]
        assert_whole(own.client, mlflow.get_run(id_))
        assert len(mlflow.search_runs([mlflow.get_run(id_).info.experiment_id])) == 3
        for lost in (first["run_id"], waiting):
            assert client.get(f"/api/v1/analyses/{lost}").json()["status"] == "recorded"
            assert client.get(f"/api/v1/analyses/{lost}/routing.csv").status_code == 200


def test_a_database_that_another_process_holds(data_folder: Folder) -> None:
    folder = data_folder()
    uri = load_settings(MOESCOPE_DATA_DIR=folder).tracking_uri
    with running(folder) as client:
        assert analyse(client, "before")["status"] == "recorded"
        with closing(sqlite3.connect(folder / "mlflow.db")) as other:
            other.execute("begin exclusive")
            waiting = assert_it_waits(client, "while it is held", "locked by another process")
        assert_recorded_once(client, uri, waiting)


def test_an_outbox_that_another_process_holds(data_folder: Folder) -> None:
    folder = data_folder()
    with running(folder) as client:
        assert analyse(client, "before")["status"] == "recorded"
        with closing(sqlite3.connect(folder / "outbox.db")) as other:
            other.execute("begin immediate")
            refused = analyse(client, "while it is held")
            assert refused["status"] == "not recorded"
            assert "another process holds it" in refused["detail"]
            assert_it_lives(client, "the outbox is held")
        assert analyse(client, "while it is held")["status"] == "recorded"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB. Only root may make one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(place)]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_full(small_disk: Path, data_folder: Folder) -> None:
    (small_disk / "mlflow.db").write_bytes((data_folder() / "mlflow.db").read_bytes())
    with running(small_disk) as client:
        kept = analyse(client, "before")
        assert kept["status"] == "recorded"
        filler = small_disk / "filler"
        with filler.open("wb", 0) as file, pytest.raises(OSError, match="No space left"):
            file.writelines(itertools.repeat(bytes(4096)))
        refused = analyse(client, "the disk is full now")
        assert (refused["status"], refused["run_id"]) == ("not recorded", None)
        assert "full" in refused["detail"]
        assert refused["experts"]
        assert_it_lives(client, "the disk is full")
        assert client.get(f"/api/v1/analyses/{kept['run_id']}").json()["text"] == "before"
        filler.unlink()
        assert analyse(client, "the disk is full now")["status"] == "recorded"


def test_a_disk_that_takes_the_analysis_but_not_the_run(
    small_disk: Path, data_folder: Folder, make_entry: MakeEntry
) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder())
    recorder = MlflowRecorder(settings, figures_of)
    assert recorder.receipt(recorder.submit(make_entry("opens it")).id, 60).status == "recorded"
    (settings.data_dir / "artifacts").rename(settings.data_dir / "before")
    (settings.data_dir / "artifacts").symlink_to(small_disk)
    (small_disk / "filler").write_bytes(bytes(12 * 1024 * 1024 - 64 * 1024))
    id_ = recorder.submit(make_entry("no room for the run")).id
    receipt = recorder.receipt(id_, 60)
    assert receipt.status == "pending"
    assert "no space left" in receipt.detail
    (small_disk / "filler").unlink()
    recorder.retry()
    until(lambda: recorder.receipt(id_).status == "recorded")
    recorder.close()


def test_a_tracking_server_that_goes_and_comes_back(
    data_folder: Folder, s3: S3Server, tmp_path: Path
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"

    def start() -> subprocess.Popen[bytes]:
        database = f"sqlite:///{tmp_path / 'server.db'}"
        line = ["server", "--backend-store-uri", database, "--port", str(port), "--workers", "1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *line],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: _answers(f"{uri}/health"), 120)
        return process

    folder = data_folder()
    process = start()
    try:
        with running(folder, MLFLOW_TRACKING_URI=uri, **s3.settings("with-server")) as client:
            first = analyse(client, "first")
            until(lambda: store(client)["pending"] == 0)
            os.killpg(process.pid, 9)
            process.wait()
            waiting = assert_it_waits(client, "while it is down", "does not answer")
            process = start()
            assert_recorded_once(client, uri, waiting)
            for id_ in (first["run_id"], waiting):
                found = client.get(f"/api/v1/analyses/{id_}").json()
                assert found["status"] == "recorded"
                assert found["mlflow_url"].startswith(f"{uri}/#/experiments/")
                assert_whole(s3.client, MlflowClient(uri).get_run(found["run_id"]))
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
