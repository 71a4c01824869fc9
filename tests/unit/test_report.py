"""metrics.json and what a run holds of hand-made traces."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.figures.definitions import MEASURES, stack_values
from app.recording import content
from app.recording.measures import measure
from app.recording.report import report
from app.routing import metrics
from app.routing.bootstrap import intervals, sentence_ids
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, TokenSequence

# Parts of other measures, or of more than one trace.
HELPERS = {
    "distribution",
    "entropy_bits",
    "layer_metrics",
    "mutual_information",
    "stack_metrics",
    "trace_paths",
}
TWO_SENTENCES = ("▁The", "▁bank", "▁is", ".", "▁The", "▁bank", "▁was", "▁the", "▁one", ".", "</s>")
MODEL = ModelIdentity("model", "abc", "Switch")


def make_layer(name: str, tokens: int, experts: int = 4, k: int = 1, **fields: Any) -> RouterLayer:
    random = np.random.default_rng(len(name))
    logits = random.normal(scale=2, size=(tokens, experts)).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    chosen = np.argsort(-p, axis=1)[:, :k]
    dropped = np.arange(tokens) == (tokens - 1 if fields.get("capacity") else -1)
    weights = np.take_along_axis(p, chosen, axis=1) * ~dropped[:, None]
    return RouterLayer(name, "encoder", 1, logits, p, chosen, weights, dropped, **fields)


def make_trace(tokens: tuple[str, ...], *layers: RouterLayer, **fields: Any) -> RoutingTrace:
    vocabulary = sorted(set(tokens))
    ids = np.array([vocabulary.index(token) for token in tokens])
    sequence = TokenSequence(tokens, ids, np.array([token == "</s>" for token in tokens]))
    return RoutingTrace("text", MODEL, {"encoder": sequence}, layers, **fields)


def report_of(trace: RoutingTrace) -> Any:
    return json.loads(json.dumps(report(trace, measure(trace)), allow_nan=False))


@pytest.fixture
def trace() -> RoutingTrace:
    tokens = len(TWO_SENTENCES)
    first, second = make_layer("a", tokens, capacity=5), make_layer("bb", tokens, 6, 2)
    return make_trace(TWO_SENTENCES, first, second)


def test_every_metric_function_of_one_trace_is_reported(trace: RoutingTrace) -> None:
    told = " ".join(each["function"] for each in report_of(trace)["definitions"].values())
    for name, function in inspect.getmembers(metrics, inspect.isfunction):
        ours = function.__module__ == metrics.__name__ and not name.startswith("_")
        if ours and name not in HELPERS:
            assert name in told.replace(".", " ").replace(",", " ").split(), name


def test_every_value_of_a_layer_is_told_with_its_definition(trace: RoutingTrace) -> None:
    body, measures = report_of(trace), measure(trace)
    for layer, row in zip(trace.layers, body["layers"], strict=True):
        assert row["values"].keys() == measures.layers[layer.name].keys()
        for name, value in measures.layers[layer.name].items():
            found = row["values"][name]
            assert found["value"] == (None if np.isnan(value) else value)
            assert found["n"] == len(TWO_SENTENCES) - name.startswith("repetition")
            assert (found["reference"] is None) or body["definitions"][name]["reference"]
        assert row["load"] == metrics.expert_load(layer.experts, layer.num_experts).tolist()


def test_reference_levels(trace: RoutingTrace) -> None:
    first, second = (row["values"] for row in report_of(trace)["layers"])
    tokens = len(TWO_SENTENCES)
    assert first["load_cv"]["reference"] == pytest.approx(np.sqrt(3 / tokens))
    assert second["load_cv"]["reference"] == pytest.approx(np.sqrt(4 / (2 * tokens)))
    assert first["active_experts"]["reference"] == pytest.approx(4 * (1 - 0.75**tokens))
    assert second["active_experts"]["reference"] == pytest.approx(6 * (1 - (2 / 3) ** tokens))
    assert first["confidence"]["reference"] == 0.25
    assert first["load_entropy"]["reference"] == first["auxiliary_loss"]["reference"] == 1
    assert second["repetition"]["reference"] == second["repetition_chance"]["value"]
    information = second["transition_information"]
    assert information["reference"] == second["transition_null"]["value"]
    assert first["transition_information"]["value"] is None
    assert first["transition_information"]["reference"] is None
    assert second["saturation"]["reference"] == pytest.approx(1 / 3)


def test_reference_levels_are_those_that_are_drawn(trace: RoutingTrace) -> None:
    body, values = report_of(trace), stack_values(trace.layers)
    for shown in MEASURES:
        for index, level in enumerate(shown.levels(trace.layers, values)):
            found = body["layers"][index]["values"][shown.key]["reference"]
            assert found == (None if np.isnan(level) else pytest.approx(level)), shown.key


def test_tables_are_those_of_the_metrics(trace: RoutingTrace) -> None:
    first, second = report_of(trace)["layers"]
    a, b = (layer.experts for layer in trace.layers)
    assert first["transition"] is None
    assert first["co_activation"] is first["rank_adjacent_co_activation"] is None
    assert first["drop_rate_by_position"] == [0.0] * (len(TWO_SENTENCES) - 1) + [1.0]
    assert second["drop_rate_by_position"] is None
    transition = second["transition"]
    assert transition["from"] == "a"
    assert transition["counts"] == metrics.transition_counts(a, b, 4, 6).tolist()
    matrix = np.array(transition["matrix"], dtype=float)
    np.testing.assert_array_equal(matrix, metrics.transition_matrix(a, b, 4, 6))
    assert transition["bits"] == metrics.transition_information(a, b, 4, num_to=6).bits
    assert transition["null_95"] >= transition["null_mean"]
    together = np.array(second["co_activation"], dtype=float)
    np.testing.assert_array_equal(together, metrics.co_activation(b, 6))


def test_specialisation_is_of_tokens_that_come_again(trace: RoutingTrace) -> None:
    found = report_of(trace)["layers"][1]["specialisation"]
    vocabulary = sorted(set(TWO_SENTENCES))
    assert [vocabulary[token] for token in found["token_ids"]] == [".", "▁The", "▁bank"]
    assert found["counts"] == [2, 2, 2]
    chosen = trace.layers[1].experts[[3, 9]].ravel()
    assert found["share"][0] == (np.bincount(chosen, minlength=6) / 2).tolist()
    assert found["baseline"] == pytest.approx(1 / 3)
    once = make_trace(("▁a", "▁b"), make_layer("a", 2))
    assert report_of(once)["layers"][0]["specialisation"] is None


def test_intervals_are_over_sentences_and_none_for_one(trace: RoutingTrace) -> None:
    body = report_of(trace)
    assert body["stacks"]["encoder"]["sentences"] == 2
    assert "2 sentences" in body["stacks"]["encoder"]["intervals"]
    spans = intervals(trace.layers[0], sentence_ids(TWO_SENTENCES))
    values = body["layers"][0]["values"]
    assert {n for n, value in values.items() if value["interval"]} == spans.keys()
    assert values["load_cv"]["interval"] == list(spans["load_cv"])

    single = report_of(make_trace(("▁a", "▁b"), make_layer("a", 2)))
    assert single["stacks"]["encoder"]["sentences"] == 1
    assert single["stacks"]["encoder"]["intervals"].startswith("none: ")
    assert all(value["interval"] is None for value in single["layers"][0]["values"].values())


def test_one_token_and_one_expert_give_nulls_and_no_warnings() -> None:
    body = report_of(make_trace(("▁a",), make_layer("a", 1, 1), make_layer("bb", 1, 1)))
    values = body["layers"][1]["values"]
    assert values["load_entropy"]["value"] is None
    assert values["repetition"] == {"value": None, "n": 0, "reference": None, "interval": None}
    assert body["layers"][1]["transition"]["bits"] is None
    assert body["stacks"]["encoder"]["paths"]["distinct"] == 1


def test_texts_are_parameters_by_hash_and_length(trace: RoutingTrace) -> None:
    long = "x" * 10_000
    params = content.params(replace(trace, target=long))
    assert params["target_characters"] == "10000"
    assert len(params["target_sha256"]) == 64
    assert "output_sha256" not in params
    assert all(len(value) < 500 for value in params.values())
    assert params["selection"] == "top-k"
    assert params["expert_capacity"] == "5,None"
    made = content.params(replace(trace, output="two\nlines\x00"))
    assert made["output"] == "two lines"
    assert made["output_characters"] == "10"
    assert "output" not in content.params(replace(trace, output=long))
    assert "output" not in content.params(replace(trace, output=""))


def test_metrics_of_a_run_have_stacks_paths_and_drops(trace: RoutingTrace) -> None:
    measures = measure(trace)
    rows = {(name, step): value for name, value, step in content.metrics(trace, measures)}
    assert rows["tokens", 0] == rows["encoder/tokens", 0] == len(TWO_SENTENCES)
    assert rows["encoder/dropped_total", 0] == rows["dropped_total", 0] == 1
    assert rows["encoder/paths_distinct", 0] == measures.paths["encoder"].distinct
    assert rows["encoder/paths_coverage_top1", 0] == measures.paths["encoder"].coverage[0]
    assert rows["encoder/paths_entropy_bits", 0] == measures.paths["encoder"].entropy_bits
    for step, layer in enumerate(trace.layers):
        for name, value in measures.layers[layer.name].items():
            assert rows.get((f"encoder/{name}", step), np.nan) == pytest.approx(value, nan_ok=True)
    assert ("encoder/transition_information", 0) not in rows
    assert rows["transition_information_mean", 0] == rows["encoder/transition_information", 1]
