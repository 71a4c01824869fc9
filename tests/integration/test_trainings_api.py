"""Tables and trainings over HTTP, up to where H2O begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from app.automl.library import Trainings
from app.recording.registry import Registry
from app.server import build
from app.settings import load_settings
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Answer, Folder, ask, is_ready, serving, until
from tests.integration.test_api import check_problem
from tests.trained import put


@pytest.fixture(scope="module")
def data(data_folder: Folder) -> Path:
    return data_folder()


@pytest.fixture(scope="module")
def pass_id(data: Path) -> str:
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 2)
    return make_pass(data, corpus, "with tokens", 64, tokens=True)


@pytest.fixture(scope="module")
def server(data: Path, pass_id: str) -> Iterator[str]:
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data))) as address:
        until(lambda: is_ready(address))
        yield address


def iris() -> bytes:
    frame = load_iris(as_frame=True).frame
    frame["target"] = [f"kind {place}" for place in frame["target"]]
    frame["mail"] = [f"a{row}@example.org" for row in range(len(frame))]
    frame["row"] = range(len(frame))
    csv: str = frame.to_csv(index=False)
    return csv.encode()


def hand_in(server: str, content: bytes, name: str = "iris.csv") -> Answer:
    return ask(f"{server}/api/v1/tables?name={name}", content)


@pytest.fixture
def table(server: str) -> str:
    answer = hand_in(server, iris())
    assert answer.status == 201
    return str(answer.json()["id"])


def begin(server: str, table: str, **order: Any) -> Answer:
    return ask(f"{server}/api/v1/trainings", {"table": table, "target": "target", **order})


def test_a_table_is_described(server: str) -> None:
    found = hand_in(server, iris() + b"one cell\n").json()
    assert found["name"] == "iris.csv"
    assert (found["rows"], found["skipped"]) == (150, 1)
    assert found["skips"][0]["examples"] == [{"file": "iris.csv", "line": 152}]
    columns = {each["name"]: each for each in found["columns"]}
    assert columns["petal width (cm)"]["kind"] == "number"
    assert columns["target"]["kind"] == "category"
    assert columns["mail"]["personal"] == "e-mail"
    assert columns["row"]["kind"] == "identifier"
    assert found["preview"][0]["target"] == "kind 0"
    assert ask(f"{server}/api/v1/tables/{found['id']}").json() == found


def test_a_plan_says_what_is_learnt_from_what(server: str, table: str) -> None:
    found = ask(f"{server}/api/v1/tables/{table}/plan?target=target").json()
    assert (found["task"], found["kind"], found["rows"]) == ("classification", "multiclass", 150)
    assert found["classes"][0] == {"name": "kind 0", "rows": 50}
    assert found["dropped"] == {"mail": "looks personal: e-mail", "row": "identifier"}
    assert len(found["features"]) == 4
    assert found["metrics"][0] == "log_loss"
    assert not found["problems"]
    amounts = ask(f"{server}/api/v1/tables/{table}/plan?target=row").json()
    assert amounts["task"] == "regression"
    missing = ask(f"{server}/api/v1/tables/{table}/plan?target=nothing")
    check_problem(missing, 422)
    assert "«nothing»" in missing.json()["detail"]


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"", "empty.csv", "empty.csv"),
        (b"a,a\n1,2\n", "twice.csv", "twice"),
        (b"PAR1 and nothing", "broken.parquet", "broken.parquet"),
        (b'{"a": 1}\n{"a": 2}\n', "lines.jsonl", "JSON Lines"),
        (b",".join(b"c%d" % n for n in range(5000)) + b"\n1\n", "wide.csv", "columns"),
    ],
)
def test_what_is_no_table_is_refused(server: str, content: bytes, name: str, why: str) -> None:
    answer = hand_in(server, content, name)
    check_problem(answer, 422)
    assert why in answer.json()["detail"]


def test_a_router_is_a_table(server: str, pass_id: str) -> None:
    (found,) = ask(f"{server}/api/v1/tables").json()["routers"]
    assert (found["id"], found["name"]) == (pass_id, "with tokens")
    table = found["layers"][0]["table"]
    described = ask(f"{server}/api/v1/tables/{table}").json()
    assert described["target"] == "expert"
    assert described["rows"] == found["tokens"]
    plan = ask(f"{server}/api/v1/tables/{table}/plan?target=expert").json()
    assert "document" not in plan["features"]
    assert plan["kind"] == "multiclass"
    check_problem(ask(f"{server}/api/v1/tables/router.{pass_id}.99"), 422)
    check_problem(ask(f"{server}/api/v1/tables/router.{'0' * 32}.0"), 422)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"target": "row", "task": "classification"}, "have 5 rows"),
        ({"target": "nothing"}, "no column «nothing»"),
        ({"metric": "rmse"}, "judged by one of log_loss"),
        ({"uses": {"nothing": "drop"}}, "no column «nothing»"),
        ({"uses": {"mail": "number"}}, "mail"),
        ({"uses": {"petal width (cm)": "text"}}, "uses"),
        ({"seed": -1}, "seed"),
        ({"table": "0" * 32}, "hand it in again"),
    ],
)
def test_a_training_that_can_not_be_is_refused(
    server: str, table: str, order: dict[str, Any], why: str
) -> None:
    answer = begin(server, **{"table": table, **order})
    check_problem(answer, 422)
    assert why in answer.json()["detail"]


def test_a_training_is_begun_cancelled_and_removed(server: str, data: Path, table: str) -> None:
    answer = begin(server, table, models=1, uses={"mail": "hash", "row": "number"}, name="One")
    assert answer.status == 202
    found = answer.json()
    assert found["status"] in ("waiting", "running")
    id_ = found["id"]
    address = f"{server}/api/v1/trainings/{id_}"
    assert ask(f"{address}/cancel", method="POST").status == 200
    until(lambda: ask(address).json()["status"] == "stopped")
    whole = ask(address).json()
    assert (whole["name"], whole["target"], whole["budget"]["models"]) == ("One", "target", 1)
    assert whole["table"]["hashed"] == ["mail"]
    assert whole["table"]["features"]["row"] == "number"
    check_problem(ask(f"{address}/figures"), 404)
    assert ask(f"{server}/api/v1/trainings").json()["trainings"][0]["id"] == id_
    assert ask(address, method="DELETE").status == 204
    check_problem(ask(address), 404)
    check_problem(ask(address, method="DELETE"), 404)
    assert not (data / "uploads" / table).exists()


def test_what_is_trained_is_recorded_and_registered(server: str, data: Path) -> None:
    id_ = put("flowers", data)
    address = f"{server}/api/v1/trainings/{id_}"
    until(lambda: ask(address).json()["status"] == "recorded")
    found = ask(address).json()
    assert Registry(load_settings(MOESCOPE_DATA_DIR=data)).of_run(found["run_id"]).training == id_
    assert ask(f"{server}/api/v1/trainings/{found['run_id']}").json()["id"] == id_
    assert found["leaders"][0]["holdout"]["accuracy"] > found["baseline"]["accuracy"]
    assert found["importance"]
    assert found["table"]["training"] + found["table"]["holdout"] == 150
    figures = ask(f"{address}/figures?theme=dark").json()
    assert set(figures) == {"confusion", "importance"}


def test_where_training_is_off_the_line_says_so(data_folder: Folder) -> None:
    folder = data_folder()
    library = Trainings(folder)
    with serving(
        build(load_settings(MOESCOPE_DATA_DIR=folder, MOESCOPE_TRAINING="off"))
    ) as address:
        until(lambda: is_ready(address))
        assert "MOESCOPE_TRAINING" in ask(f"{address}/api/v1/trainings").json()["refusal"]
        for answer in (hand_in(address, iris()), begin(address, "0" * 32)):
            check_problem(answer, 503)
            assert "switched off" in answer.json()["detail"]
    assert not library.all()
