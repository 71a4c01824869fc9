"""The history over HTTP: list, change, delete, compute again, and how recording goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.analysis import Analyst
from app.api.app import create_api
from app.recording.content import load_code
from app.recording.mlflow_recorder import MlflowRecorder
from app.server import build
from app.settings import Settings, load_settings
from tests.integration.helpers import Answer, Folder, ask, free_port, is_ready, serving, until
from tests.integration.test_api import check_problem, post

GAP = "The river <extra_id_0> was closed."


def listed(server: str, query: str) -> list[dict[str, Any]]:
    answer = ask(f"{server}/api/v1/runs?{query}")
    assert answer.status == 200
    runs: list[dict[str, Any]] = answer.json()["runs"]
    return runs


def change(server: str, run_id: str, **fields: Any) -> Answer:
    return ask(f"{server}/api/v1/runs/{run_id}", fields, "PATCH")


def delete(server: str, run_id: str) -> Answer:
    return ask(f"{server}/api/v1/runs/{run_id}", method="DELETE")


def restore(server: str, run_id: str) -> Answer:
    return ask(f"{server}/api/v1/runs/{run_id}/restore", method="POST")


@pytest.fixture
def own_server(analyst: Analyst) -> Iterator[str]:
    """A server whose analyst the test holds too."""
    with serving(create_api(analyst)) as address:
        yield address


def test_a_line_tells_what_the_run_is(server: str, registry: Any) -> None:
    body = post(server, "a line of the list").json()
    (line,) = listed(server, "q=a%20line%20of")
    analyst = Analyst(registry, None, 512)  # type: ignore[arg-type]
    expected = {
        "run_id": body["run_id"],
        "name": "a line of the list",
        "tags": [],
        "stacks": ["encoder"],
        "load": load_code(analyst.trace("a line of the list")),
        "status": "recorded",
        "detail": "",
        "value": None,
    }
    assert expected.items() <= line.items()
    assert line["size"] > 20_000


def test_runs_are_found_by_stack_and_day(server: str) -> None:
    alone = post(server, "found alone").json()["run_id"]
    both = post(server, "found by both", target="a").json()["run_id"]
    assert {run["run_id"] for run in listed(server, "q=found")} == {alone, both}
    assert [run["run_id"] for run in listed(server, "q=found&stack=decoder")] == [both]
    assert len(listed(server, "q=found&stack=encoder")) == 2
    today = datetime.now(UTC).date()
    tomorrow, yesterday = today + timedelta(1), today - timedelta(1)
    # The tests may run over midnight.
    assert len(listed(server, f"q=found&since={yesterday}&until={tomorrow}")) == 2
    assert listed(server, f"q=found&since={tomorrow + timedelta(1)}") == []
    assert listed(server, f"q=found&until={yesterday - timedelta(1)}") == []


def test_runs_are_sorted_by_a_metric(server: str) -> None:
    lengths = {f"sorted{' word' * count}": count for count in (7, 2, 5)}
    for text in lengths:
        post(server, text)
    runs = listed(server, "q=sorted&sort=tokens&order=asc")
    assert [lengths[run["text"]] for run in runs] == [2, 5, 7]
    assert [run["value"] for run in runs] == [run["tokens"] for run in runs]
    down = listed(server, "q=sorted&sort=tokens")
    assert down == runs[::-1]
    values = [run["value"] for run in listed(server, "q=sorted&sort=load_cv_mean")]
    assert values == sorted(values, reverse=True)
    assert None not in values


@pytest.mark.parametrize(
    "query",
    [
        "stack=middle",
        "sort=colour",
        "order=up",
        "since=yesterday",
        "since=2026-13-01",
        "until=9999-12-31",
        "since=0001-01-01",
        "tag=" + "x" * 10_000,
        "model=" + "x" * 10_000,
        "cursor=" + "x" * 10_000,
        "cursor=local:x",
        "cursor=%F0%9F%99%82",
    ],
)
def test_wrong_queries_are_problems(server: str, query: str) -> None:
    check_problem(ask(f"{server}/api/v1/runs?{query}"), 422)


def test_a_run_is_renamed_and_tagged(server: str) -> None:
    run_id = post(server, "to be renamed").json()["run_id"]
    answer = change(server, run_id, name="  a better\tname ", add_tags=["red", "blue green"])
    assert answer.status == 200
    line = answer.json()
    assert (line["name"], line["text"]) == ("a better name", "to be renamed")
    assert line["tags"] == ["red", "blue green"]
    assert line["url"] == f"{server}/runs/{run_id}"
    assert listed(server, "q=better%20name") == listed(server, "tag=blue%20green") == [line]
    assert listed(server, "q=be%20renamed") == [line]
    assert listed(server, "tag=blue") == []
    line = change(server, run_id, name="", remove_tags=["red", "never there"]).json()
    assert (line["name"], line["tags"]) == ("to be renamed", ["blue green"])
    # The analysis itself is as it was.
    assert ask(f"{server}/api/v1/analyses/{run_id}").json()["text"] == "to be renamed"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x" * 251},
        {"name": "a\x00b"},
        {"name": 5},
        {"name": "new", "add_tags": ["x" * 10_000]},
        {"name": "new", "add_tags": [""]},
        {"name": "new", "add_tags": [" "]},
        {"name": "new", "add_tags": ["a,b"]},
        {"name": "new", "add_tags": ["a\nb"]},
        {"name": "new", "add_tags": [f"tag {n}" for n in range(21)]},
        {"name": "a\x1bb", "add_tags": ["fine"]},
        {"add_tags": "red"},
        {"add_tags": [5]},
        {"add_tags": None},
        {"nmae": "x"},
        [],
        "name",
        b"{",
    ],
)
def test_wrong_changes_are_problems_and_change_nothing(server: str, body: Any) -> None:
    run_id = post(server, "never changed").json()["run_id"]
    before = listed(server, "q=never%20changed")
    answer = ask(f"{server}/api/v1/runs/{run_id}", body, "PATCH")
    check_problem(answer, 422)
    assert listed(server, "q=never%20changed") == before


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "%00", "x" * 5000])
def test_no_run_can_be_changed_or_deleted(server: str, run_id: str) -> None:
    check_problem(change(server, run_id, name="x"), 404)
    check_problem(change(server, run_id, add_tags=["x"]), 404)
    check_problem(delete(server, run_id), 404)
    check_problem(restore(server, run_id), 404)
    check_problem(ask(f"{server}/api/v1/analyses/{run_id}/recompute", method="POST"), 404)


def test_a_deletion_is_undone(server: str) -> None:
    run_id = post(server, "deleted and back").json()["run_id"]
    answer = delete(server, run_id)
    assert answer.status == 202
    assert answer.json() == {"run_id": run_id, "undo_seconds": 10.0}
    assert listed(server, "q=deleted%20and") == []
    for path in ("", "/routing.csv", "/figures/flow.html"):
        check_problem(ask(f"{server}/api/v1/analyses/{run_id}{path}"), 404)
    check_problem(ask(f"{server}/api/v1/analyses/{run_id}/recompute", method="POST"), 404)
    check_problem(delete(server, run_id), 404)
    assert restore(server, run_id).json() == {"run_id": run_id}
    assert [run["run_id"] for run in listed(server, "q=deleted%20and")] == [run_id]
    assert ask(f"{server}/api/v1/analyses/{run_id}").status == 200
    assert ask(f"{server}/api/v1/analyses/{run_id}/routing.csv").status == 200
    check_problem(restore(server, run_id), 404)


def test_a_deletion_takes_the_files_with_it(
    own_server: str, analyst: Analyst, settings: Settings
) -> None:
    run_id = str(post(own_server, "gone for good").json()["run_id"])
    (folder,) = settings.data_dir.glob(f"artifacts/{run_id}")
    analyst.recorder.delete([run_id], 0)
    until(lambda: not list(folder.rglob("*.*")), 20)
    check_problem(ask(f"{own_server}/api/v1/analyses/{run_id}"), 404)
    check_problem(restore(own_server, run_id), 404)
    again = post(own_server, "gone for good").json()
    assert again["status"] == "recorded"
    assert again["run_id"] != run_id


def test_computed_again_it_is_the_same(server: str) -> None:
    settings = {"max_new_tokens": 4, "do_sample": True, "temperature": 2.0, "seed": 3}
    for fields in ({}, {"target": "a bank"}, {"generate": settings}, {"capacity": 2}):
        body = post(server, GAP, **fields).json()
        before = len(listed(server, "q=river"))
        answer = ask(f"{server}/api/v1/analyses/{body['run_id']}/recompute", method="POST")
        assert answer.status == 200
        found = answer.json()
        assert found["identical"] is True
        assert (found["differences"], found["environment"]) == ([], [])
        assert (found["max_logit_difference"], found["changed_experts"]) == (0, 0)
        assert found["n"] == sum(len(layer) for layer in body["experts"])
        # Nothing is recorded by it.
        assert len(listed(server, "q=river")) == before


def test_computed_again_with_another_model_it_is_told(
    data_folder: Folder, tiny_switch: Any
) -> None:
    folder = data_folder()
    model = tiny_switch()
    settings = load_settings(MOESCOPE_DATA_DIR=folder, MOESCOPE_MODEL=f"tiny={model}")
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        run_id = post(address, "abc").json()["run_id"]
    # Other weights under the same name.
    other = tiny_switch(num_experts=2)
    settings = load_settings(MOESCOPE_DATA_DIR=folder, MOESCOPE_MODEL=f"tiny={other}")
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        answer = ask(f"{address}/api/v1/analyses/{run_id}/recompute", method="POST")
        found = answer.json()
        assert found["identical"] is False
        assert found["differences"]
        assert any("weights" in line or "revision" in line for line in found["environment"])
    # And where it is not offered at all.
    with serving(build(load_settings(MOESCOPE_DATA_DIR=folder))) as address:
        until(lambda: is_ready(address))
        answer = ask(f"{address}/api/v1/analyses/{run_id}/recompute", method="POST")
        assert "no model of that name" in check_problem(answer, 422)["detail"]


def test_while_the_store_is_down_all_is_kept_and_told(data_folder: Folder) -> None:
    folder = data_folder()
    port = free_port()
    settings = load_settings(
        MOESCOPE_DATA_DIR=folder, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}"
    )
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        until(lambda: ask(f"{address}/api/v1/store").json()["down"] != "", 20)
        start = time.monotonic()
        body = post(address, "kept while it is down").json()
        assert time.monotonic() - start < 3
        assert body["status"] == "pending"
        assert body["detail"]
        assert body["url"] == f"{address}/runs/{body['run_id']}"
        again = ask(f"{address}/api/v1/analyses/{body['run_id']}")
        assert again.json()["status"] == "pending"
        assert again.json()["logits"] == body["logits"]
        answer = ask(f"{address}/api/v1/runs").json()
        assert [run["run_id"] for run in answer["runs"]] == [body["run_id"]]
        assert answer["runs"][0]["status"] == "pending"
        assert answer["notice"]
        state = ask(f"{address}/api/v1/store").json()
        assert (state["pending"], state["failed"]) == (1, 0)
        assert str(port) in state["down"]
        assert state["failure"] == ""
        check_problem(change(address, body["run_id"], name="too early"), 422)
        retried = ask(f"{address}/api/v1/store/retry", method="POST")
        assert retried.status == 202
        assert retried.json()["pending"] == 1
    # With a store it goes there by itself, under the same id.
    with serving(build(load_settings(MOESCOPE_DATA_DIR=folder))) as address:
        until(lambda: is_ready(address))
        until(lambda: ask(f"{address}/api/v1/store").json()["pending"] == 0)
        found = ask(f"{address}/api/v1/analyses/{body['run_id']}").json()
        assert found["status"] == "recorded"
        assert found["logits"] == body["logits"]
        assert ask(f"{address}/api/v1/store").json()["down"] == ""


def test_where_nothing_can_be_written_the_analysis_is_given_all_the_same(
    data_folder: Folder, registry: Any
) -> None:
    folder = data_folder()
    # A folder where the file of waiting analyses should be.
    (folder / "outbox.db").mkdir()
    recorder = MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=folder), lambda _trace: {})
    with serving(create_api(Analyst(registry, recorder, 512))) as address:
        answer = post(address, "no room for it")
        assert answer.status == 201
        body = answer.json()
        assert (body["status"], body["run_id"], body["url"]) == ("not recorded", None, None)
        assert body["detail"]
        assert body["experts"]
        check_problem(ask(f"{address}/api/v1/store"), 503)


def test_mlflow_page_of_a_run_is_linked(data_folder: Folder, analyst: Analyst) -> None:
    settings = load_settings(
        MOESCOPE_DATA_DIR=data_folder(), MOESCOPE_MLFLOW_UI="https://mlflow.example/ui/"
    )
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        run_id = post(address, "linked").json()["run_id"]
        url = ask(f"{address}/api/v1/analyses/{run_id}").json()["mlflow_url"]
    assert url.startswith("https://mlflow.example/ui/#/experiments/")
    assert url.endswith(f"/runs/{run_id}")


def test_all_is_documented(server: str) -> None:
    schema = ask(f"{server}/openapi.json").json()
    expected = {
        "/api/v1/analyses/{run_id}/routing.csv": ["get"],
        "/api/v1/analyses/{run_id}/{file}": ["get"],
        "/api/v1/analyses/{run_id}/figures/{file}": ["get"],
        "/api/v1/analyses/{run_id}/recompute": ["post"],
        "/api/v1/runs": ["get"],
        "/api/v1/runs/export": ["get"],
        "/api/v1/runs/{run_id}": ["delete", "patch"],
        "/api/v1/runs/{run_id}/restore": ["post"],
        "/api/v1/store": ["get"],
        "/api/v1/store/retry": ["post"],
    }
    for path, methods in expected.items():
        assert sorted(schema["paths"][path]) == methods
        for operation in schema["paths"][path].values():
            assert operation["description"]
            errors = {s: a for s, a in operation["responses"].items() if s >= "400"}
            assert errors
            for answer in errors.values():
                assert list(answer["content"]) == ["application/problem+json"]
    file = schema["paths"]["/api/v1/analyses/{run_id}/{file}"]["get"]["parameters"][1]
    assert "routing.parquet" in file["schema"]["enum"]
    assert "mlflow_url" in schema["components"]["schemas"]["Analysis"]["properties"]


def test_a_server_without_runs_says_so(own_server: str, tmp_path: Path) -> None:
    assert ask(f"{own_server}/api/v1/runs").json() == {"runs": [], "next": None, "notice": ""}
    state = ask(f"{own_server}/api/v1/store").json()
    assert state == {"pending": 0, "failed": 0, "down": "", "failure": ""}
