"""routing.csv and the analysis as JSON, from hand-made traces."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.recording.base import Receipt
from app.recording.export import analysis_json, routing_csv
from app.routing.metrics import layer_metrics, stack_metrics, trace_paths
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, Stack, TokenSequence

HEADER = (
    "layer_name,token_index,expert_index,logit,probability,"
    "stack,block,token,token_id,selected,rank,weight,dropped,score_function,generated"
)
FORMAT_1 = Path(__file__).parents[1] / "data/trace-format-1.npz"
TOKENS = ("plain", 'say "hi"', "a,b", "two\nlines", "\r", "\x00", "日本", "=1+1", "  ", "</s>")


def make_layer(
    name: str, tokens: int, stack: Stack = "encoder", experts: int = 4, k: int = 2
) -> RouterLayer:
    random = np.random.default_rng(len(name))
    logits = random.normal(scale=5, size=(tokens, experts)).astype(np.float32)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
    chosen = np.argsort(-probabilities, axis=1)[:, :k]
    dropped = np.arange(tokens) == 1
    weights = np.take_along_axis(probabilities, chosen, axis=1) * ~dropped[:, None]
    return RouterLayer(name, stack, 1, logits, probabilities, chosen, weights, dropped, capacity=1)


def make_sequence(tokens: tuple[str, ...], generated: int = 0) -> TokenSequence:
    ids = np.arange(len(tokens)) + 100
    special = np.array([token == "</s>" for token in tokens])
    return TokenSequence(tokens, ids, special, np.arange(len(tokens)) >= len(tokens) - generated)


MODEL = ModelIdentity("model", "abc", "Switch")


@pytest.fixture
def trace() -> RoutingTrace:
    layers = (make_layer("encoder.1", len(TOKENS)), make_layer("encoder.10", len(TOKENS)))
    return RoutingTrace("text", MODEL, {"encoder": make_sequence(TOKENS)}, layers)


@pytest.fixture
def two_stacks() -> RoutingTrace:
    return RoutingTrace(
        "text",
        MODEL,
        {
            "encoder": make_sequence(("a", "</s>")),
            "decoder": make_sequence(("<pad>", "b", "c"), generated=2),
        },
        (make_layer("encoder.1", 2), make_layer("decoder.1", 3, "decoder", k=1)),
        {"mode": "generated", "generate": {"max_new_tokens": 9}, "stopped": True},
        output="b c",
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_the_columns_that_scripts_rely_on(trace: RoutingTrace) -> None:
    assert routing_csv(trace).split("\n", 1)[0] == HEADER


def test_csv_rows_are_layer_then_token_then_expert(trace: RoutingTrace) -> None:
    rows = read(routing_csv(trace))
    found = [(r["layer_name"], int(r["token_index"]), int(r["expert_index"])) for r in rows]
    names = [layer.name for layer in trace.layers]
    assert found == [(n, t, e) for n in names for t in range(len(TOKENS)) for e in range(4)]


def test_csv_keeps_every_token_as_it_is(trace: RoutingTrace) -> None:
    rows = read(routing_csv(trace))
    assert tuple(row["token"] for row in rows[: 4 * len(TOKENS) : 4]) == TOKENS
    assert [int(row["token_id"]) for row in rows[:8:4]] == [100, 101]


def test_csv_numbers_read_back_as_the_same_float32(trace: RoutingTrace) -> None:
    rows = iter(read(routing_csv(trace)))
    for layer in trace.layers:
        for token in range(len(TOKENS)):
            for expert, row in zip(range(4), rows, strict=False):
                assert np.float32(row["logit"]) == layer.logits[token, expert]
                assert np.float32(row["probability"]) == layer.probabilities[token, expert]
                assert len(row["logit"]) <= 14


def test_csv_marks_selection_rank_weight_and_drop(trace: RoutingTrace) -> None:
    layer = trace.layers[0]
    for row in read(routing_csv(trace))[: 4 * len(TOKENS)]:
        token, expert = int(row["token_index"]), int(row["expert_index"])
        chosen = layer.experts[token].tolist()
        assert row["selected"] == ("true" if expert in chosen else "false")
        assert row["dropped"] == ("true" if token == 1 else "false")
        if expert in chosen:
            rank = chosen.index(expert)
            assert row["rank"] == str(rank)
            assert np.float32(row["weight"]) == layer.weights[token, rank]
        else:
            assert (row["rank"], row["weight"]) == ("", "")


def test_csv_tells_score_function_and_generated_tokens(two_stacks: RoutingTrace) -> None:
    encoder, decoder = two_stacks.layers
    # A name that needs quotes, and probabilities that needn't sum to 1.
    sigmoid = replace(decoder, score_function='sigmoid, "odd"')
    rows = read(routing_csv(replace(two_stacks, layers=(encoder, sigmoid))))
    assert [row["score_function"] for row in rows] == ["softmax"] * 8 + ['sigmoid, "odd"'] * 12
    assert [row["generated"] for row in rows] == ["false"] * 12 + ["true"] * 8


def test_json_is_plain_and_holds_what_the_csv_holds(trace: RoutingTrace) -> None:
    body: Any = json.loads(json.dumps(analysis_json(trace), allow_nan=False))
    assert body["tokens"] == list(TOKENS)
    assert body["special"] == [False] * 9 + [True]
    rows = iter(read(routing_csv(trace)))
    for layer in range(2):
        for token in range(len(TOKENS)):
            for expert, row in zip(range(4), rows, strict=False):
                assert repr(body["logits"][layer][token][expert]) == repr(float(row["logit"]))
                assert body["probabilities"][layer][token][expert] == float(row["probability"])
                assert body["dropped"][layer][token] is (row["dropped"] == "true")
                if row["selected"] == "true":
                    assert body["experts"][layer][token][int(row["rank"])] == expert
                    assert body["weights"][layer][token][int(row["rank"])] == float(row["weight"])


def test_json_with_two_stacks_has_tokens_by_stack(two_stacks: RoutingTrace) -> None:
    body = analysis_json(two_stacks)
    assert body["tokens"] == {"encoder": ["a", "</s>"], "decoder": ["<pad>", "b", "c"]}
    assert body["token_ids"] == {"encoder": [100, 101], "decoder": [100, 101, 102]}
    assert body["metrics"]["tokens"] == {"encoder": 2, "decoder": 3}
    assert body["generated"] == {"encoder": [False, False], "decoder": [False, True, True]}
    assert [row["stack"] for row in read(routing_csv(two_stacks))] == ["encoder"] * 8 + [
        "decoder"
    ] * 12


def test_json_tells_what_ran_and_what_came_out(
    trace: RoutingTrace, two_stacks: RoutingTrace
) -> None:
    names = ("mode", "target", "output", "generate", "stopped")
    body, made = analysis_json(trace), analysis_json(two_stacks)
    assert [body[name] for name in names] == [None, None, None, None, False]
    assert body["generated"] == [False] * len(TOKENS)
    expected = ["generated", None, "b c", {"max_new_tokens": 9}, True]
    assert [made[name] for name in names] == expected
    for row in made["layers"]:
        assert (row["score_function"], row["selection"]) == ("softmax", "top-k")
        assert row["capacity"] == 1
    assert analysis_json(replace(trace, target="t"))["target"] == "t"


def test_json_holds_the_measures_of_layers_and_of_stacks(trace: RoutingTrace) -> None:
    metrics = analysis_json(trace)["metrics"]
    assert metrics.keys() == {"tokens", "paths", "encoder.1", "encoder.10"}
    between = stack_metrics(trace.layers)
    for index, layer in enumerate(trace.layers):
        found = metrics[layer.name]
        assert found.keys() == layer_metrics(layer).keys() | between.keys()
        for name, value in layer_metrics(layer).items():
            assert found[name] == value
        for name, values in between.items():
            assert found[name] == (None if np.isnan(values[index]) else values[index])
    paths = trace_paths(trace.layers)
    assert metrics["paths"] == {
        "encoder": {
            "distinct": paths.distinct,
            "share_distinct": paths.share_distinct,
            "entropy_bits": paths.entropy_bits,
            "coverage": paths.coverage.tolist(),
            "n": len(TOKENS),
        }
    }


def test_a_trace_of_the_first_format_is_exported() -> None:
    trace = RoutingTrace.from_bytes(FORMAT_1.read_bytes())
    body: Any = json.loads(json.dumps(analysis_json(trace), allow_nan=False))
    tokens = len(body["tokens"])
    assert (body["text"], body["mode"]) == ("The river bank was closed.", "encoder")
    assert (body["target"], body["output"], body["stopped"]) == (None, None, False)
    assert body["generated"] == [False] * tokens
    assert {layer["score_function"] for layer in body["layers"]} == {"softmax"}
    rows = read(routing_csv(trace))
    assert len(rows) == len(body["layers"]) * tokens * 8
    assert {row["generated"] for row in rows} == {"false"}
    assert float(rows[0]["logit"]) == body["logits"][0][0][0]


def test_json_writes_an_undefined_measure_as_null() -> None:
    layer = make_layer("encoder.1", 2, experts=1, k=1)
    trace = RoutingTrace("t", MODEL, {"encoder": make_sequence(("a", "b"))}, (layer,))
    assert analysis_json(trace)["metrics"]["encoder.1"]["load_entropy"] is None


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (None, (None, "not recorded", None)),
        (Receipt("a", "b", "recorded"), ("b", "recorded", "/runs/b")),
        (Receipt("a", None, "pending"), ("a", "pending", "/runs/b")),
        (Receipt("", None, "failed", "disk full"), (None, "not recorded", None)),
        (Receipt("a", None, "failed", "refused"), ("a", "not recorded", "/runs/b")),
    ],
)
def test_json_tells_where_the_analysis_stands(
    trace: RoutingTrace, receipt: Receipt | None, expected: tuple[Any, ...]
) -> None:
    body = analysis_json(trace, receipt, "/runs/b" if receipt else None)
    assert (body["run_id"], body["status"], body["url"]) == expected
    assert body["detail"] == (receipt.detail if receipt else "")
