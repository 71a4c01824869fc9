"""The files of recorded runs over HTTP, one by one and many at once."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import socket
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.analysis import Analyst
from app.api.app import create_api
from app.recording import files
from app.server import build
from app.settings import Settings, load_settings
from tests.integration.helpers import (
    Answer,
    Folder,
    ask,
    free_port,
    is_ready,
    serving,
    until,
)
from tests.integration.test_api import check_problem, post

GAP = "The river <extra_id_0> was closed."
FIGURES = ("flow", "load", "tokens_by_layer", "measures")


def get(server: str, run_id: str, path: str, **headers: str) -> Answer:
    return ask(f"{server}/api/v1/analyses/{run_id}/{path}", **headers)


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


@pytest.fixture(scope="module")
def run_id(server: str) -> str:
    return str(post(server, GAP, target="<extra_id_0> bank").json()["run_id"])


def check_whole(server: str, run_id: str) -> None:
    """Every file has the checksum that the run was written with, figures' pages excepted."""
    sums = get(server, run_id, "SHA256SUMS").body.decode().splitlines()
    assert len(sums) > 8
    for digest, path in (line.split("  ", 1) for line in sums):
        answer = get(server, run_id, path)
        assert answer.status == 200
        if not path.endswith(".html"):
            assert hashlib.sha256(answer.body).hexdigest() == digest, path


def test_every_file_comes_whole_with_its_name_and_kind(server: str, run_id: str) -> None:
    check_whole(server, run_id)
    for path in (*files.NAMES, "SHA256SUMS"):
        if path == "output.txt":
            continue
        answer = get(server, run_id, path)
        assert answer.headers["content-type"] == files.media_type(path)
        beginning, dot, ending = path.partition(".")
        name = f"{beginning}-{run_id[:8]}{dot}{ending}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert int(answer.headers["content-length"]) == len(answer.body)
    assert get(server, run_id, "text.txt").body.decode() == GAP
    assert get(server, run_id, "target.txt").body.decode() == "<extra_id_0> bank"


def test_the_numbers_are_the_same_in_every_format(server: str, run_id: str) -> None:
    body = ask(f"{server}/api/v1/analyses/{run_id}").json()
    rows = rows_of(get(server, run_id, "routing.csv").body)
    table = pq.read_table(io.BytesIO(get(server, run_id, "routing.parquet").body)).to_pylist()
    file = get(server, run_id, "analysis.json").json()
    assert file.items() <= body.items()
    assert body.keys() - file.keys() == {"run_id", "status", "detail", "url", "mlflow_url"}
    assert len(rows) == len(table)
    place = 0
    for index, layer in enumerate(body["layers"]):
        for token, probabilities in enumerate(body["probabilities"][index]):
            for expert, probability in enumerate(probabilities):
                row, found = rows[place], table[place]
                place += 1
                assert float(row["probability"]) == probability
                assert float(row["logit"]) == body["logits"][index][token][expert]
                for name in ("logit", "probability"):
                    # Parquet's float32 prints as the CSV's decimals do.
                    assert f"{float(row[name]):.9g}" == f"{found[name]:.9g}" or (
                        abs(float(row[name]) - found[name]) < 1e-7 * abs(found[name])
                    )
                assert (found["layer_name"], found["token"]) == (layer["name"], row["token"])
                assert found["selected"] is (expert in body["experts"][index][token])
    assert place == len(rows)
    # The load that is drawn is the share of the selected ones.
    figure = get(server, run_id, "figures/load.json").json()
    drawn = next(each["z"] for each in figure["data"] if each["type"] == "heatmap")
    names = [layer["name"] for layer in body["layers"] if layer["stack"] == "encoder"]
    for name, shares in zip(names, drawn, strict=True):
        of_layer = [row for row in table if row["layer_name"] == name]
        tokens = len({row["token_index"] for row in of_layer})
        counts = [0] * len(shares)
        for row in of_layer:
            counts[row["expert_index"]] += row["selected"]
        # A picture needs no more than four decimals.
        assert shares == [round(count / tokens, 4) for count in counts]


def test_a_figure_is_a_page_of_its_own(server: str, run_id: str) -> None:
    for name in FIGURES:
        answer = get(server, run_id, f"figures/{name}.html")
        page = answer.body.decode()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        # As attachment: it must not run as a page of this server.
        expected = f'attachment; filename="{name}-{run_id[:8]}.html"'
        assert answer.headers["content-disposition"] == expected
        assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page)
        figure = get(server, run_id, f"figures/{name}.json").json()
        assert {"data", "layout"} <= figure.keys()


def test_trace_file_is_the_recorded_one(server: str, run_id: str) -> None:
    from app.routing.trace import RoutingTrace

    trace = RoutingTrace.from_bytes(get(server, run_id, "trace.npz").body)
    assert (trace.text, trace.target) == (GAP, "<extra_id_0> bank")


@pytest.mark.parametrize(
    "path",
    [
        "nothing.csv",
        "routing",
        "output.txt",
        "figures",
        "figures/",
        "figures/other.html",
        "figures/flow.png",
        "figures/flow",
        "figures/..%2ftext.txt",
        "..%2f..%2fmlflow.db",
        "%2e%2e/%2e%2e/etc/passwd",
        "routing.csv%00",
        "x" * 5000,
    ],
)
def test_unknown_files_are_problems(server: str, run_id: str, path: str) -> None:
    check_problem(get(server, run_id, path), 404)


@pytest.mark.parametrize("path", ["routing.csv", "trace.npz", "figures/flow.html", "SHA256SUMS"])
@pytest.mark.parametrize("other", ["0" * 32, "nonsense", "%00", "..", "x" * 3000])
def test_files_of_no_run_are_problems(server: str, other: str, path: str) -> None:
    check_problem(get(server, other, path), 404)


def test_nothing_is_left_behind(
    analyst: Analyst, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_id = analyst.record(analyst.trace("nothing left"), wait=20).run_id
    with serving(create_api(analyst)) as address:
        for path in ("routing.csv", "figures/flow.html"):
            assert get(address, str(run_id), path).status == 200
        answer = ask(f"{address}/api/v1/runs/export?ids={run_id}&format=parquet")
        assert answer.status == 200
        # A receiver that goes away in the middle.
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as broken:
            target = f"/api/v1/analyses/{run_id}/figures/flow.html"
            broken.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert broken.recv(100)
        until(lambda: not list(tmp_path.iterdir()), 10)
        until(lambda: not list((settings.data_dir / "tmp").iterdir()), 10)


@pytest.fixture(scope="module")
def several(server: str) -> list[dict[str, Any]]:
    return [post(server, f"one of several, number {number}").json() for number in range(3)]


def test_several_runs_as_one_zip(server: str, several: list[dict[str, Any]]) -> None:
    ids = [body["run_id"] for body in several]
    answer = ask(f"{server}/api/v1/runs/export?ids={','.join(ids)}&format=csv")
    assert answer.headers["content-type"] == "application/zip"
    name = 'attachment; filename="routing-3-runs.zip"'
    assert answer.headers["content-disposition"] == name
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{id_}.csv" for id_ in ids]
        for id_ in ids:
            assert archive.read(f"{id_}.csv") == get(server, id_, "routing.csv").body


def test_several_runs_as_one_parquet(server: str, several: list[dict[str, Any]]) -> None:
    ids = [body["run_id"] for body in several]
    # Spaces, an empty one and the same again do no harm.
    asked = ",".join([*ids, "", ids[0]]).replace(",", "%20,")
    answer = ask(f"{server}/api/v1/runs/export?ids={asked}&format=parquet")
    assert answer.headers["content-disposition"].endswith('runs.parquet"')
    table = pq.read_table(io.BytesIO(answer.body))
    single = pq.read_table(io.BytesIO(get(server, ids[0], "routing.parquet").body))
    assert table.column_names == ["run_id", "model", *single.column_names]
    found = table.to_pydict()
    assert list(dict.fromkeys(found["run_id"])) == ids
    assert set(found["model"]) == {"switch-mini-8"}
    first = table.slice(0, single.num_rows).drop_columns(["run_id", "model"])
    assert first.equals(single)
    assert table.num_rows == sum(
        pq.read_table(io.BytesIO(get(server, id_, "routing.parquet").body)).num_rows for id_ in ids
    )


def test_a_missing_run_is_named(server: str, several: list[dict[str, Any]]) -> None:
    ids = f"{several[0]['run_id']},{'0' * 32},{'1' * 32}"
    for format_ in ("csv", "parquet"):
        answer = ask(f"{server}/api/v1/runs/export?ids={ids}&format={format_}")
        assert check_problem(answer, 404)["detail"] == f"there is no run {'0' * 32}"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "ids: "),
        ("?ids=", "ids: name at least one run"),
        ("?ids=,%20,", "ids: name at least one run"),
        ("?ids=" + ",".join(f"{n:032x}" for n in range(201)), "at most 200 runs at once, not 201"),
        ("?ids=a&format=xlsx", "format: "),
    ],
)
def test_wrong_exports_are_problems(server: str, query: str, detail: str) -> None:
    answer = ask(f"{server}/api/v1/runs/export{query}")
    assert detail in check_problem(answer, 422)["detail"]


def test_a_range_of_a_file(server: str, run_id: str) -> None:
    whole = get(server, run_id, "trace.npz").body
    part = get(server, run_id, "trace.npz", range="bytes=10-19")
    assert part.status == 206
    assert part.body == whole[10:20]


def test_files_of_a_waiting_run(data_folder: Folder) -> None:
    """The store is down: everything is made from what stands on the local disk."""
    settings = load_settings(
        MOESCOPE_DATA_DIR=data_folder(), MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}"
    )
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        body = post(address, GAP, generate={"max_new_tokens": 2}).json()
        assert body["status"] == "pending"
        run_id = body["run_id"]
        for path in files.NAMES:
            if path != "target.txt":
                assert get(address, run_id, path).status == 200, path
        assert get(address, run_id, "output.txt").body.decode() == body["output"]
        for name in FIGURES:
            assert get(address, run_id, f"figures/{name}.json").status == 200
        check_problem(get(address, run_id, "SHA256SUMS"), 404)
        check_problem(get(address, run_id, "target.txt"), 404)
        answer = ask(f"{address}/api/v1/runs/export?ids={run_id}")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.read(f"{run_id}.csv") == get(address, run_id, "routing.csv").body


def test_no_room_for_the_export_is_told(analyst: Analyst, settings: Settings) -> None:
    receipt = analyst.record(analyst.trace("much to write"), wait=20)
    # A file where the folder of such files should be.
    temporary = settings.data_dir / "tmp"
    temporary.rmdir()
    temporary.touch()
    with serving(create_api(analyst)) as address:
        answer = ask(f"{address}/api/v1/runs/export?ids={receipt.run_id}")
        assert "can't be written" in check_problem(answer, 503)["detail"]
        # What is only read needs no room.
        assert get(address, str(receipt.run_id), "routing.csv").status == 200


def test_analysis_file_is_what_the_api_gives(server: str, run_id: str) -> None:
    file = json.loads(get(server, run_id, "analysis.json").body)
    assert file["text"] == GAP
    assert file["metrics"]["paths"].keys() == {"encoder", "decoder"}
