"""`python -m app bucket …`, as a real process against a real S3 server."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from minio import Minio
from minio.commonconfig import SnowballObject
from mlflow.tracking import MlflowClient

from tests.forked import run_forked
from tests.integration.helpers import ROOT, Command, Environment, Folder, free_port
from tests.proxy import proxied
from tests.s3 import S3Server, s3_server

Bucket = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def name(s3: S3Server) -> str:
    """A bucket with three objects of 1,500 bytes in two runs' folders."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.client.make_bucket(name)
    for path in ("one/artifacts/a.txt", "one/artifacts/figures/b.json", "two/artifacts/a.txt"):
        s3.client.put_object(name, f"moescope/{path}", io.BytesIO(b"x" * 500), 500)
    return name


@pytest.fixture
def folder(data_folder: Folder) -> Path:
    """A data folder whose MLflow database knows no run."""
    return data_folder()


@pytest.fixture
def bucket(forked: Command, s3: S3Server, folder: Path) -> Bucket:
    """Runs `python -m app bucket …` with nobody at the terminal."""

    def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        given = {"MOESCOPE_DATA_DIR": folder, **s3.settings("mlflow-artifacts"), **settings}
        return forked("bucket", *arguments, settings=given)

    return run


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def refused(result: subprocess.CompletedProcess[str], code: int) -> str:
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("moescope: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def rows(result: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """The cells of the listing, by bucket."""
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["bucket", "objects", "size", "bytes", "created"]
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_list_tells_objects_and_bytes(bucket: Bucket, s3: S3Server, name: str) -> None:
    objects, size, unit, exact, day, clock, zone = rows(bucket("list"))[name]
    assert (objects, size, unit, exact, zone) == ("3", "1.5", "kB", "1500", "UTC")
    made = next(each for each in s3.client.list_buckets() if each.name == name).creation_date
    assert made is not None
    assert f"{day} {clock}" == f"{made:%Y-%m-%d %H:%M:%S}"


def test_create_makes_a_bucket_once(bucket: Bucket, s3: S3Server) -> None:
    name = f"new-{uuid.uuid4().hex[:12]}"
    assert bucket("create", name).stdout == f"created: {name}\n"
    assert s3.client.bucket_exists(name)
    again = bucket("create", name)
    assert (again.returncode, again.stdout) == (0, f"there already: {name}\n")
    assert rows(bucket("list"))[name][:4] == ["0", "0", "B", "0"]


@pytest.mark.parametrize(
    ("verb", "wrong"),
    [("create", "Upper"), ("create", "10.0.0.1"), ("create", ""), ("remove", "a/b")],
)
def test_names_that_break_the_rules(bucket: Bucket, s3: S3Server, verb: str, wrong: str) -> None:
    before = [each.name for each in s3.client.list_buckets()]
    yes = ["--yes", "--yes-lose-runs"] if verb == "remove" else []
    line = refused(bucket(verb, wrong, *yes), 2)
    assert f"«{wrong}» is no name for a bucket" in line
    assert [each.name for each in s3.client.list_buckets()] == before


@pytest.mark.parametrize(
    "arguments", [[], ["list", "more"], ["create"], ["remove"], ["empty", "abc"]], ids=range(5)
)
def test_wrong_arguments(bucket: Bucket, arguments: list[str]) -> None:
    refused(bucket(*arguments), 2)


def test_without_a_store_or_its_keys(command: Command) -> None:
    assert "MINIO_ENDPOINT is not set" in refused(command("bucket", "list"), 2)
    half = {"MINIO_ENDPOINT": "127.0.0.1:9", "MINIO_ACCESS_KEY": "a"}
    assert "MINIO_SECRET_KEY" in refused(command("bucket", "list", settings=half), 2)


def test_a_store_that_refuses(bucket: Bucket, s3: S3Server, name: str) -> None:
    assert "MINIO_ACCESS_KEY" in refused(bucket("list", MINIO_ACCESS_KEY="nobody-knows"), 1)
    assert "MINIO_SECRET_KEY" in refused(bucket("list", MINIO_SECRET_KEY="another-one"), 1)
    nowhere = f"127.0.0.1:{free_port()}"
    assert f"nothing listens at {nowhere}" in refused(bucket("list", MINIO_ENDPOINT=nowhere), 1)
    access, secret = s3.user("s3:ListBucket", "s3:ListAllMyBuckets")
    reader = {"MINIO_ACCESS_KEY": access, "MINIO_SECRET_KEY": secret}
    result = bucket("remove", name, "--yes", **reader)
    assert result.returncode == 1
    said = f"moescope: the S3 store's access key may not remove objects of the bucket «{name}» "
    assert result.stderr.splitlines()[-1] == f"{said}(MINIO_ACCESS_KEY)"
    assert len(list(s3.client.list_objects(name, recursive=True))) == 3
    assert "may not create the bucket" in refused(bucket("create", "another-one", **reader), 1)


def test_remove_empties_and_removes(bucket: Bucket, s3: S3Server, name: str) -> None:
    s3.client._create_multipart_upload(name, "moescope/begun", {})
    result = bucket("remove", name, "--yes")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{name}: 3 objects, 1.5 kB (1,500 bytes)\nremoved: {name}\n"
    assert "Traceback" not in result.stderr
    assert not s3.client.bucket_exists(name)


def test_remove_of_no_bucket(bucket: Bucket) -> None:
    line = refused(bucket("remove", "nothing-here", "--yes"), 2)
    assert line == "moescope: there is no bucket «nothing-here»\n"


def test_remove_asks_a_person_and_nobody_else(
    bucket: Bucket, s3: S3Server, name: str, folder: Path, environment: Environment
) -> None:
    assert "--yes" in refused(bucket("remove", name), 2)
    # Losing runs is one question, removing the other.
    assert "--yes" in refused(bucket("remove", name, "--yes-lose-runs"), 2)
    settings = {"MOESCOPE_DATA_DIR": folder, **s3.settings("mlflow-artifacts")}

    def answer(words: str) -> subprocess.CompletedProcess[str]:
        ours, theirs = pty.openpty()
        os.write(ours, words.encode())
        try:
            asked = ("bucket", "remove", name)
            return run_forked(asked, environment(**settings), stdin=Path(os.ttyname(theirs)))
        finally:
            os.close(ours)
            os.close(theirs)

    for words in ("yes\n", "\x04"):
        result = answer(words)
        assert result.returncode == 2
        assert "Type the bucket's name to remove it: " in result.stderr
        assert "nothing was removed" in result.stderr
        assert len(list(s3.client.list_objects(name, recursive=True))) == 3
    assert answer(f"{name}\n").returncode == 0
    assert not s3.client.bucket_exists(name)


def test_remove_refuses_what_holds_known_runs(
    bucket: Bucket, s3: S3Server, name: str, client: MlflowClient
) -> None:
    # Longer than a page, in two experiments, one run deleted, one beside the bucket.
    here = client.create_experiment("here", f"s3://{name}/moescope")
    also = client.create_experiment("also", f"s3://{name}")
    beside = client.create_experiment("beside", f"s3://{name}-too/moescope")
    runs = [client.create_run(experiment).info.run_id for experiment in (here, here, also)]
    client.create_run(beside)
    client.delete_run(runs[0])
    line = refused(bucket("remove", name, "--yes"), 2)
    assert "2 runs that MLflow knows would lose their files" in line
    assert "--yes-lose-runs" in line
    client.delete_run(runs[1])
    assert "1 run that MLflow knows" in refused(bucket("remove", name, "--yes"), 2)
    assert len(list(s3.client.list_objects(name, recursive=True))) == 3
    result = bucket("remove", name, "--yes", "--yes-lose-runs")
    assert result.returncode == 0, result.stderr
    assert not s3.client.bucket_exists(name)


def test_runs_that_mlflow_serves_itself_are_known_by_their_folders(
    bucket: Bucket, s3: S3Server, name: str, client: MlflowClient
) -> None:
    served = client.create_experiment("served", "mlflow-artifacts:/7")
    client.create_run(served)
    run_id = client.create_run(served).info.run_id
    s3.client.put_object(name, f"7/{run_id}/artifacts/a.txt", io.BytesIO(b"x"), 1)
    assert "1 run that MLflow knows" in refused(bucket("remove", name, "--yes"), 2)
    client.delete_run(run_id)
    assert bucket("remove", name, "--yes").returncode == 0


def test_remove_refuses_if_mlflow_can_not_be_asked(
    bucket: Bucket, s3: S3Server, name: str, folder: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    line = refused(bucket("remove", name, "--yes", MLFLOW_TRACKING_URI=nowhere), 1)
    assert f"MLflow at {nowhere} does not answer" in line
    assert "--yes-lose-runs" in line
    (folder / "mlflow.db").write_bytes(b"no database" * 1000)
    assert "MLflow's database can't be used" in refused(bucket("remove", name, "--yes"), 1)
    assert len(list(s3.client.list_objects(name, recursive=True))) == 3
    result = bucket("remove", name, "--yes", "--yes-lose-runs", MLFLOW_TRACKING_URI=nowhere)
    assert result.returncode == 0, result.stderr
    assert not s3.client.bucket_exists(name)


def test_no_database_is_made_to_ask_for_runs(bucket: Bucket, name: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert bucket("remove", name, "--yes", MOESCOPE_DATA_DIR=data).returncode == 0
    assert not (data / "mlflow.db").exists()


@pytest.fixture
def full(many: int) -> Iterator[tuple[S3Server, Minio]]:
    """A bucket `full` of so many objects, on a server of its own."""
    with s3_server(quick=True) as server:
        client = server.client
        client.make_bucket("full")

        def put(start: int) -> None:
            # One archive that the server unpacks.
            client.upload_snowball_objects(
                "full",
                [
                    SnowballObject(
                        f"moescope/{index % 50:032x}/artifacts/{index}.txt",
                        data=io.BytesIO(b"x" * 7),
                        length=7,
                    )
                    for index in range(start, start + 500)
                ],
            )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(0, many, 500)))
        yield server, client


@pytest.mark.parametrize("many", [3000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_objects_with_a_stop_in_between(
    bucket: Bucket,
    full: tuple[S3Server, Minio],
    folder: Path,
    environment: Environment,
    many: int,
) -> None:
    server, client = full
    settings = server.settings("mlflow-artifacts")
    cells = rows(bucket("list", **settings))["full"]
    assert cells[:4] == [str(many), str(7 * many // 1000), "kB", str(7 * many)]

    def count(prefix: str = "") -> int:
        listed = client.list_objects("full", prefix=prefix, recursive=True)
        return sum(not found.is_dir for found in listed)

    batches = 0
    begun, stopped = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        """Lets the second batch wait until the process is told to stop."""
        nonlocal batches
        batches += method == "POST" and "delete" in path
        if batches == 2:
            begun.set()
            stopped.wait(60)

    with proxied(f"http://{server.endpoint}", hold=hold) as between:
        through = settings | {"MINIO_ENDPOINT": between.removeprefix("http://")}
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "bucket", "remove", "full", "--yes"],
            cwd=ROOT, env=environment(MOESCOPE_DATA_DIR=folder, **through),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Who runs the tests in the background has them ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert begun.wait(120)
        process.send_signal(signal.SIGINT)
        stopped.set()
        _, said = process.communicate(timeout=60)
    left = count()
    assert process.returncode == 1
    assert 0 < left < many
    last = said.splitlines()[-1]
    assert last.startswith("moescope: stopped after ")
    assert "the bucket «full» is still there with the rest" in last
    assert "Traceback" not in said

    result = bucket("remove", "full", "--yes", **settings)
    assert result.returncode == 0, result.stderr
    assert f"full: {left:,} objects" in result.stdout
    assert "100%" in result.stderr
    assert rows(bucket("list", **settings)) == {}
