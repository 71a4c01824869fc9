"""The HTTP interface, on a really started server."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM

from app.analysis import Analyst
from app.api.app import create_api
from app.server import build
from app.settings import load_settings
from tests.conftest import byte_tokenizer
from tests.integration.helpers import Answer, Folder, ask, is_ready, serving, until

HEADER = (
    "layer_name,token_index,expert_index,logit,probability,"
    "stack,block,token,token_id,selected,rank,weight,dropped,score_function,generated"
)
GAP = "The river <extra_id_0> was closed on Sunday."
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
    names = {layer["name"] for layer in body["layers"]}
    assert body["metrics"].keys() == {"tokens", "paths"} | names
    assert body["metrics"]["paths"]["encoder"]["n"] == tokens
    assert (body["mode"], body["target"], body["output"]) == ("encoder", None, None)
    assert (body["generate"], body["stopped"]) == (None, False)
    assert body["generated"] == [False] * tokens
    for layer in body["layers"]:
        assert (layer["score_function"], layer["selection"]) == ("softmax", "top-k")
        assert layer["capacity"] == 64


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
        ({"text": "ok", "target": ""}, 422),
        ({"text": "ok", "target": " \n"}, 422),
        ({"text": "ok", "target": 5}, 422),
        ({"text": "ok", "target": ["a"]}, 422),
        (b'{"text": "ok", "target": "\\ud800"}', 422),
        ({"text": "ok", "target": "word " * 600}, 413),
        ({"text": "ok", "target": "x" * 500_000}, 413),
        ({"text": "ok", "target": "a", "generate": {}}, 422),
        ({"text": "ok", "generate": True}, 422),
        ({"text": "ok", "generate": 5}, 422),
        ({"text": "ok", "generate": []}, 422),
        ({"text": "ok", "generate": {"beams": 2}}, 422),
        *(
            ({"text": "ok", "generate": {"max_new_tokens": value}}, 422)
            for value in (0, -1, 513, 10**30, "5", True, None, 5.0, 1.5)
        ),
        # More digits than Python reads.
        (b'{"text": "ok", "generate": {"max_new_tokens": ' + b"9" * 5000 + b"}}", 400),
        *(
            ({"text": "ok", "generate": {"do_sample": True} | wrong}, 422)
            for wrong in (
                {"do_sample": 1},
                {"temperature": 0},
                {"temperature": -1.0},
                {"temperature": "1"},
                {"temperature": True},
                {"temperature": float("nan")},
                {"temperature": float("inf")},
                {"temperature": 10**400},
                {"top_p": 0},
                {"top_p": 1.1},
                {"top_p": float("nan")},
                {"seed": -1},
                {"seed": 2**32},
                {"seed": 1.0},
            )
        ),
        *(({"text": "ok", "capacity": value}, 422) for value in (0, -1, 10**30, "2", True, 2.0)),
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
    ids=itertools.count(),
)
def test_wrong_bodies_get_a_clear_4xx(server: str, body: Any, status: int) -> None:
    check_problem(ask(f"{server}/api/v1/analyses", body, "POST"), status)


@pytest.mark.parametrize("value", [0, -7, 10**30])
def test_a_number_of_tokens_out_of_range_is_named(server: str, value: int) -> None:
    detail = check_problem(post(server, "ok", generate={"max_new_tokens": value}), 422)["detail"]
    assert detail.startswith("max_new_tokens must be from 1 to 512, not ")


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
    assert model["stacks"] == ["encoder", "decoder"]
    assert (model["status"], model["detail"]) == ("ready", "")
    assert (model["kind"], model["generates"]) == ("encoder-decoder", True)
    assert (model["score_functions"], model["capacity"]) == (["softmax"], 64)
    assert model["notes"] == []


def check_chosen(body: dict[str, Any]) -> None:
    """Every token's expert is the one with the highest logit, dropped or not."""
    for layer, logits in enumerate(body["logits"]):
        for token, row in enumerate(logits):
            assert body["experts"][layer][token] == [row.index(max(row))]


def test_a_target_shows_the_decoder_too(server: str) -> None:
    body = post(server, GAP, target="<extra_id_0> bank").json()
    assert (body["mode"], body["target"]) == ("teacher-forced", "<extra_id_0> bank")
    assert body["output"] is None
    tokens = body["tokens"]
    assert tokens.keys() == body["generated"].keys() == {"encoder", "decoder"}
    assert tokens["decoder"][:2] == ["<pad>", "<extra_id_0>"]
    assert tokens["decoder"][-1] == "</s>"
    assert not any(body["generated"]["encoder"] + body["generated"]["decoder"])
    assert body["metrics"]["paths"]["decoder"]["n"] == len(tokens["decoder"])
    for layer, experts in zip(body["layers"], body["experts"], strict=True):
        assert len(experts) == len(tokens[layer["stack"]])
    check_chosen(body)
    assert ask(f"{server}/api/v1/analyses/{body['run_id']}").json() == body
    # The encoder does not see the target.
    alone = post(server, GAP, record=False).json()
    assert alone["logits"] == body["logits"][: len(alone["logits"])]


def test_greedy_generation_is_the_same_again(server: str) -> None:
    settings = {"max_new_tokens": 5}
    first = post(server, GAP, generate=settings, record=False).json()
    body = post(server, GAP, generate=settings, force=True).json()
    for name in ("output", "tokens", "token_ids", "generated", "experts", "logits", "generate"):
        assert body[name] == first[name]
    assert (body["mode"], body["target"], body["stopped"]) == ("generated", None, False)
    assert body["generate"]["max_new_tokens"] == 5
    assert body["generate"]["do_sample"] is False
    made = body["generated"]["decoder"]
    assert made == [False] + [True] * (len(made) - 1)
    assert 2 <= len(made) <= 6
    check_chosen(body)
    assert ask(f"{server}/api/v1/analyses/{body['run_id']}").json() == body
    file = ask(f"{server}/api/v1/analyses/{body['run_id']}/routing.csv").body.decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(file, newline="")))
    assert {row["score_function"] for row in rows} == {"softmax"}
    for row in rows:
        mark = body["generated"][row["stack"]][int(row["token_index"])]
        assert row["generated"] == str(mark).lower()


def test_sampling_with_a_seed_is_the_same_again_and_with_another_not(server: str) -> None:
    def sampled(seed: int) -> Any:
        settings = {"max_new_tokens": 8, "do_sample": True, "temperature": 3, "seed": seed}
        return post(server, GAP, generate=settings).json()

    first, again, other = sampled(1), sampled(1), sampled(2)
    assert first == again
    assert first["run_id"] is not None
    assert first["token_ids"]["decoder"] != other["token_ids"]["decoder"]
    forced = post(server, GAP, generate=first["generate"], force=True).json()
    assert forced["run_id"] != first["run_id"]
    assert forced["logits"] == first["logits"]


def test_a_replaced_capacity_drops_tokens_and_keeps_their_choice(server: str) -> None:
    text = "The river bank was closed on Sunday and nobody knew why. " * 12
    free = post(server, text, record=False, capacity=1000).json()
    body = post(server, text, capacity=2).json()
    assert not any(map(any, free["dropped"]))
    assert {layer["capacity"] for layer in body["layers"]} == {2}
    check_chosen(body)
    # What the first router sees does not depend on its own capacity.
    assert body["experts"][0] == free["experts"][0]
    for layer, experts in enumerate(body["experts"]):
        places: dict[int, int] = {}
        for token, (expert,) in enumerate(experts):
            places[expert] = places.get(expert, 0) + 1
            late = places[expert] > 2
            assert body["dropped"][layer][token] is late
            assert (body["weights"][layer][token] == [0]) is late
        name = body["layers"][layer]["name"]
        assert body["metrics"][name]["dropped"] == sum(body["dropped"][layer]) > 0
    lost = sum(map(sum, body["dropped"]))
    assert len({tuple(e) for t in body["experts"] for e in t}) > 1

    file = ask(f"{server}/api/v1/analyses/{body['run_id']}/routing.csv").body.decode("utf-8")
    rows = [
        row for row in csv.DictReader(io.StringIO(file, newline="")) if row["dropped"] == "true"
    ]
    assert len(rows) == lost * 8
    chosen = [row for row in rows if row["selected"] == "true"]
    assert len(chosen) == lost
    assert {float(row["weight"]) for row in chosen} == {0.0}
    for start in range(0, len(rows), 8):
        of_token = rows[start : start + 8]
        best = max(of_token, key=lambda row: float(row["logit"]))
        assert [row for row in of_token if row["selected"] == "true"] == [best]
    # The model has its own capacity again.
    assert post(server, "after it", record=False).json()["layers"][0]["capacity"] == 64


def test_other_settings_are_other_runs(server: str) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"target": "a"},
        {"target": "b"},
        {"capacity": 2},
        {"target": "a", "capacity": 2},
        {"generate": {"max_new_tokens": 2}},
        {"generate": {"max_new_tokens": 3}},
        {"generate": {"max_new_tokens": 3}, "capacity": 2},
    ]
    runs = [post(server, GAP, **fields).json()["run_id"] for fields in settings]
    assert len(set(runs)) == len(settings)
    assert [post(server, GAP, **fields).json()["run_id"] for fields in settings] == runs
    # Left out and null are the same.
    nulls = dict.fromkeys(("target", "generate", "capacity"))
    assert post(server, GAP, **nulls).json()["run_id"] == runs[0]


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
        names = ("architecture", "stacks", "router_layers", "num_experts", "top_k")
        assert second == dict.fromkeys((*names, "kind", "generates", "capacity")) | {
            "id": "second",
            "loaded": False,
            "status": "unloaded",
            "detail": "",
            "score_functions": [],
            "notes": [],
        }
        body = post(address, "the other one", model="second", record=False).json()
        assert body["model"]["id"] == "second"
        assert body["layers"][0]["num_experts"] == 2
        assert ask(f"{address}/api/v1/models").json()["models"][1]["num_experts"] == 2


def test_a_decoder_only_model_goes_on_from_its_prompt(data_folder: Folder, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_local_experts": 4}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 2}
    config = MixtralConfig(vocab_size=len(tokenizer), **sizes, **heads)
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder(), MOESCOPE_MODEL=f"small={tmp_path}")
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        (model,) = ask(f"{address}/api/v1/models").json()["models"]
        assert (model["kind"], model["generates"], model["stacks"]) == (
            "decoder-only", True, ["decoder"],
        )  # fmt: skip
        assert (model["capacity"], model["top_k"]) == (None, 2)
        prompt = post(address, "abc", record=False).json()
        assert prompt["mode"] == "prompt"
        made = post(address, "abc", generate={"max_new_tokens": 3}).json()
        tokens, new = len(prompt["tokens"]), sum(made["generated"])
        assert made["mode"] == "generated"
        assert 1 <= new <= 3
        assert made["generated"] == [False] * tokens + [True] * new
        assert made["metrics"]["paths"]["decoder"]["n"] == tokens + new
        assert ask(f"{address}/api/v1/analyses/{made['run_id']}").json() == made
        for wrong in ({"target": "x"}, {"capacity": 2}):
            check_problem(post(address, "abc", **wrong), 422)
        # Prompt and new tokens together exceed the limit.
        long = {"max_new_tokens": 512}
        check_problem(post(address, "abc", generate=long), 413)


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
        (model,) = ask(f"{address}/api/v1/models").json()["models"]
        assert (model["status"], model["loaded"]) == ("failed", False)
        assert "holds no weights" in model["detail"]
        assert ask(f"{address}/healthz").status == 200


def test_an_unforeseen_error_is_a_problem_without_its_traceback(analyst: Analyst) -> None:
    app = create_api(analyst)

    @app.get("/api/v1/fails")
    def fails() -> None:
        raise ZeroDivisionError("a secret of the server")

    with serving(app) as address:
        detail = check_problem(ask(f"{address}/api/v1/fails"), 500)["detail"]
    assert "secret" not in detail
