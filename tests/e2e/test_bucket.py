"""With a bucket: what is typed is there, and when it goes typing goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Server, Visitor
from tests.s3 import S3Server, s3_server

pytestmark = pytest.mark.e2e


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def with_bucket(tmp_path: Path, s3: S3Server) -> Iterator[Server]:
    server = Server(tmp_path, **s3.settings("typed"))
    server.start()
    yield server
    server.stop()


def test_what_is_typed_is_in_the_bucket_and_downloaded_from_it(
    visit: Callable[..., Visitor], with_bucket: Server, s3: S3Server
) -> None:
    visitor = visit(with_bucket)
    page = visitor.open()
    visitor.type("The bank of the river was closed.")
    prefix = f"moescope/{visitor.run_id()}/artifacts/"
    found = s3.client.list_objects("typed", prefix, recursive=True)
    names = {str(each.object_name).removeprefix(prefix) for each in found}
    assert {"routing.csv", "routing.parquet", "summary.md", "trace.npz", "SHA256SUMS"} <= names
    with page.expect_download() as download:
        page.click("#download-csv")
    answer = s3.client.get_object("typed", f"{prefix}routing.csv")
    with answer:
        assert Path(download.value.path()).read_bytes() == answer.read()


def test_when_the_bucket_goes_typing_goes_on_and_nothing_is_lost(
    visit: Callable[..., Visitor], with_bucket: Server, s3: S3Server
) -> None:
    visitor = visit(with_bucket)
    page = visitor.open()
    visitor.type("Before it goes.")
    s3.kill()
    page.fill("#text-input", "While it is away.")
    page.wait_for_function(
        "() => document.querySelector('#status').innerText.includes('MINIO_ENDPOINT')"
    )
    assert page.get_attribute("#status", "data-state") == "shown"
    waiting = page.get_attribute("#run-link", "href")
    page.fill("#text-input", "Typing goes on.")
    visitor.until("shown")
    page.wait_for_selector("text=2 analyses wait for the store")
    s3.start()
    page.click("text=Try again")
    page.wait_for_selector("text=analyses wait for the store", state="hidden")
    visitor.until("recorded", seconds=60)
    page.goto(f"{with_bucket.url}{waiting}")
    visitor.until("recorded")
    assert page.input_value("#text-input") == "While it is away."
    typed = {"Before it goes.", "While it is away.", "Typing goes on."}
    runs = with_bucket.json("/api/v1/runs")["runs"]
    found = sorted(run["text"] for run in runs if run["text"] in typed)
    assert found == sorted(typed)
    for run in runs:
        path = f"moescope/{run['run_id']}/artifacts/SHA256SUMS"
        assert s3.client.stat_object("typed", path).size
