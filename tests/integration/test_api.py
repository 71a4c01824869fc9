"""The HTTP interface, on a really started server."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.analysis import Analyst
from app.api.app import create_api
from app.server import build
from app.settings import load_settings
from tests.integration.helpers import Answer, Folder, ask, is_ready, serving, until

HEADER = (
    "layer_name,token_index,expert_index,logit,probability,"
    "stack,block,token,token_id,selected,rank,weight,dropped"
)
NASTY = {
    "emoji": "🙂🙃👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "שלום עולם مرحبا بالعالم",
    "control characters": "a\x01\x02\x1b[31mred\x1b[0m\x7f",
    "sentinel": "<extra_id_0> fills <extra_id_1>",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "null bytes": "a\x00b\x00",
    "only a null byte": "\x00",
    "quotes": 'it\'s "quoted"; DROP TABLE runs; --',
    "line separators": "a\u2028b\u2029c\x85d\r\ne",
    "not characters": "\ufffe\uffff\U0010ffff",
}


def post(server: str, text: Any, **fields: Any) -> Answer:
    return ask(f"{server}/api/v1/analyses", {"text": text} | fields)


def check_problem(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"title", "status", "detail"}
    assert body["status"] == status
    assert 0 < len(body["detail"]) <= 301
    assert "\n" not in body["detail"]
    assert "Traceback" not in body["detail"]
    return body


def test_analysis_is_recorded_and_reads_back_the_same(server: str) -> None:
    answer = post(server, "The river bank was closed on Sunday.")
    assert answer.status == 201
    body = answer.json()
    assert body["status"] == "recorded"
    assert body["url"] == f"{server}/runs/{body['run_id']}"
    again = ask(f"{server}/api/v1/analyses/{body['run_id']}")
    assert again.status == 200
    assert again.json() == body
    tokens, layers = len(body["tokens"]), len(body["layers"])
    assert layers >= 3
    assert len(body["token_ids"]) == tokens
    for name in ("experts", "weights", "probabilities", "logits", "dropped"):
        assert [len(layer) for layer in body[name]] == [tokens] * layers
    assert body["metrics"]["tokens"] == tokens
    assert set(body["metrics"]) == {"tokens", *(layer["name"] for layer in body["layers"])}


def test_csv_equals_the_json(server: str) -> None:
    body = post(server, 'Commas, "quotes",\nlines and 日本').json()
    answer = ask(f"{server}/api/v1/analyses/{body['run_id']}/routing.csv")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = f"routing-{body['run_id'][:8]}.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    text = answer.body.decode("utf-8")
    assert text.split("\n", 1)[0] == HEADER
    rows = iter(list(csv.DictReader(io.StringIO(text, newline=""))))
    for index, layer in enumerate(body["layers"]):
        for token, token_id in enumerate(body["token_ids"]):
            for expert in range(layer["num_experts"]):
                row = next(rows)
                assert row["layer_name"] == layer["name"]
                assert (int(row["token_index"]), int(row["expert_index"])) == (token, expert)
                assert float(row["logit"]) == body["logits"][index][token][expert]
                assert float(row["probability"]) == body["probabilities"][index][token][expert]
                assert (row["token"], int(row["token_id"])) == (body["tokens"][token], token_id)
                assert (row["stack"], int(row["block"])) == (layer["stack"], layer["block"])
                chosen = body["experts"][index][token]
                assert row["selected"] == ("true" if expert in chosen else "false")
                if expert in chosen:
                    rank = chosen.index(expert)
                    assert int(row["rank"]) == rank
                    assert float(row["weight"]) == body["weights"][index][token][rank]
                assert row["dropped"] == str(body["dropped"][index][token]).lower()
    assert next(rows, None) is None


def test_unrecorded_analysis_leaves_nothing(server: str) -> None:
    answer = post(server, "leave no trace", record=False)
    assert answer.status == 200
    body = answer.json()
    assert (body["run_id"], body["status"], body["url"]) == (None, "not recorded", None)
    assert ask(f"{server}/api/v1/runs?q=leave%20no%20trace").json()["runs"] == []


def test_same_text_same_run_and_force_a_new_one(server: str) -> None:
    first = post(server, "same again").json()["run_id"]
    assert post(server, "same again").json()["run_id"] == first
    assert post(server, "same again", force=True).json()["run_id"] != first


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_strange_texts_are_analysed_and_kept(server: str, text: str) -> None:
    answer = post(server, text)
    assert answer.status == 201
    body = answer.json()
    assert body["text"] == text
    assert ask(f"{server}/api/v1/analyses/{body['run_id']}").json() == body
    file = ask(f"{server}/api/v1/analyses/{body['run_id']}/routing.csv").body.decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(file, newline="")))
    experts = body["layers"][0]["num_experts"]
    tokens = [row["token"] for row in rows[: len(body["tokens"]) * experts : experts]]
    assert tokens == body["tokens"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": ""}, 422),
        ({"text": " \n\t\u00a0\u2003"}, 422),
        ({"text": "x " * 50_000}, 413),
        ({"text": "word " * 600}, 413),
        (b'{"text": "\\ud800"}', 422),
        (b'{"text": "ok", "model": "\\udfff"}', 422),
        (b'{"\\ud800": 1, "text": "ok"}', 422),
        ({"text": "ok", "model": "no/such-model"}, 422),
        ({"text": "ok", "model": ""}, 422),
        ({"text": "ok", "model": "../../etc"}, 422),
        ({"text": 5}, 422),
        ({"text": None}, 422),
        ({"text": ["a"]}, 422),
        ({}, 422),
        ({"text": "ok", "record": "yes"}, 422),
        ({"text": "ok", "recrod": False}, 422),
        ([], 422),
        (["text"], 422),
        ("text", 422),
        (7, 422),
        (b"null", 422),
        (b"", 422),
        (b"{", 422),
        (b"{'text': 'x'}", 422),
        (b"\xff\xfe", 422),
        (b"[" * 100_000, 400),
        (b'{"text": "' + b"x" * 1_500_000 + b'"}', 413),
    ],
    ids=range(27),
)
def test_wrong_bodies_get_a_clear_4xx(server: str, body: Any, status: int) -> None:
    check_problem(ask(f"{server}/api/v1/analyses", body, "POST"), status)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application"],
)
def test_wrong_content_type_gets_a_clear_4xx(server: str, kind: str) -> None:
    headers = {"content-type": kind}
    check_problem(ask(f"{server}/api/v1/analyses", b'{"text": "x"}', **headers), 422)


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/models",
        "/api/v1/analyses/" + "0" * 32,
        "/api/v1/analyses/nonsense",
        "/api/v1/analyses/nonsense/routing.csv",
        "/api/v1/analyses/%00",
        "/api/v1/analyses/..%2f..%2fetc%2fpasswd",
        "/api/v1/analyses/%27%20or%201=1",
        "/api/v1/analyses/" + "x" * 10_000,
    ],
)
def test_unknown_addresses_are_problems(server: str, path: str) -> None:
    check_problem(ask(server + path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/v1/models"), ("GET", "/api/v1/analyses"), ("PUT", "/api/v1/runs")],
)
def test_wrong_methods_are_problems(server: str, method: str, path: str) -> None:
    check_problem(ask(server + path, method=method), 405)


def test_models(server: str) -> None:
    body = ask(f"{server}/api/v1/models").json()
    assert body["default"] == "switch-mini-8"
    (model,) = body["models"]
    assert model["id"] == "switch-mini-8"
    assert model["loaded"] is True
    assert model["architecture"] == "SwitchTransformersForConditionalGeneration"
    assert (model["num_experts"], model["top_k"]) == (8, 1)
    assert model["stacks"][0] == "encoder"


def test_runs_are_listed_in_pages(server: str) -> None:
    made = [post(server, f"listed {number}").json()["run_id"] for number in range(3)]
    first = ask(f"{server}/api/v1/runs?limit=2&q=listed").json()
    assert [run["run_id"] for run in first["runs"]] == made[:0:-1]
    second = ask(f"{server}/api/v1/runs?limit=2&q=listed&cursor={first['next']}").json()
    assert [run["run_id"] for run in second["runs"]] == made[:1]
    assert second["next"] is None
    run = second["runs"][0]
    assert run["url"] == f"{server}/runs/{made[0]}"
    assert (run["text"], run["status"], run["model"]) == ("listed 0", "recorded", "switch-mini-8")
    assert run["tokens"] > 0
    assert re.match(r"\d{4}-\d\d-\d\dT.*Z$", run["created"])


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=999", "cursor=x", "q=" + "a" * 999])
def test_wrong_queries_are_problems(server: str, query: str) -> None:
    check_problem(ask(f"{server}/api/v1/runs?{query}"), 422)


def test_health(server: str) -> None:
    assert ask(f"{server}/healthz").json() == {"status": "alive"}
    assert ask(f"{server}/readyz").json() == {"status": "ready"}
    assert ask(f"{server}/healthz", method="HEAD").status == 200


def test_documentation_works_offline(server: str) -> None:
    page = ask(f"{server}/docs").body.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(addresses) >= 2
    for address in addresses:
        assert address.startswith("/")
        assert ask(server + address).status == 200
    assert "http" not in page


def test_schema_tells_answers_and_errors(server: str) -> None:
    schema = ask(f"{server}/openapi.json").json()
    operation = schema["paths"]["/api/v1/analyses"]["post"]
    assert {"200", "201", "413", "422", "503"} <= operation["responses"].keys()
    assert list(operation["responses"]["413"]["content"]) == ["application/problem+json"]
    assert "Analysis" in schema["components"]["schemas"]


def test_pages_stand_beside_the_api(server: str) -> None:
    for path in ("/", "/runs", "/no/such/page"):
        answer = ask(server + path)
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_large_answers_are_compressed(server: str) -> None:
    headers = {"accept-encoding": "gzip"}
    assert ask(f"{server}/openapi.json", **headers).headers["content-encoding"] == "gzip"


def test_another_model_is_loaded_on_demand(
    data_folder: Folder, tiny_switch: Callable[..., Path]
) -> None:
    settings = load_settings(
        MOESCOPE_DATA_DIR=data_folder(),
        MOESCOPE_MODEL=f"first={tiny_switch()}",
        MOESCOPE_MODELS=f"second={tiny_switch(num_experts=2)}",
    )
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        first, second = ask(f"{address}/api/v1/models").json()["models"]
        assert (first["id"], first["loaded"]) == ("first", True)
        assert second == {"id": "second", "loaded": False} | dict.fromkeys(
            ("architecture", "stacks", "router_layers", "num_experts", "top_k")
        )
        body = post(address, "the other one", model="second", record=False).json()
        assert body["model"]["id"] == "second"
        assert body["layers"][0]["num_experts"] == 2
        assert ask(f"{address}/api/v1/models").json()["models"][1]["num_experts"] == 2


def test_a_default_model_that_can_not_be_loaded_is_not_ready(
    data_folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder(), MOESCOPE_MODEL=f"broken={tmp_path}")
    with serving(build(settings)) as address:
        until(lambda: b"failed" in ask(f"{address}/readyz").body)
        answer = ask(f"{address}/readyz")
        assert answer.headers["retry-after"] == "5"
        assert "holds no weights" in check_problem(answer, 503)["detail"]
        assert "broken can't be used" in check_problem(post(address, "x"), 503)["detail"]
        assert ask(f"{address}/healthz").status == 200


def test_an_unforeseen_error_is_a_problem_without_its_traceback(analyst: Analyst) -> None:
    app = create_api(analyst)

    @app.get("/api/v1/fails")
    def fails() -> None:
        raise ZeroDivisionError("a secret of the server")

    with serving(app) as address:
        detail = check_problem(ask(f"{address}/api/v1/fails"), 500)["detail"]
    assert "secret" not in detail
