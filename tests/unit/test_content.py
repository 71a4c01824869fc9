"""What a run holds of a trace: tags, parameters, dataset and files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.analysis import figures_of
from app.recording import content, files
from app.recording.base import SORTS, Entry
from app.recording.export import CSV_COLUMNS, analysis_json, routing_csv
from app.recording.measures import measure
from app.recording.tables import SCHEMA
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, Stack, TokenSequence

MODEL = ModelIdentity("model", "abc", "Switch")
TOKENS = ("▁The", "a,b", 'say "hi"', "two\nlines", "\x00", "日本", "</s>")


def make_layer(
    chosen: list[list[int]],
    experts: int,
    name: str = "encoder.1",
    stack: Stack = "encoder",
    dropped: int | None = None,
) -> RouterLayer:
    """A layer whose tokens choose these experts, as probabilities fall with the rank."""
    picks = np.array(chosen)
    tokens, k = picks.shape
    random = np.random.default_rng(tokens + experts)
    logits = random.normal(size=(tokens, experts))
    np.put_along_axis(logits, picks, 9.0 - np.arange(k)[None, :].repeat(tokens, 0), axis=1)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lost = np.arange(tokens) == (-1 if dropped is None else dropped)
    weights = np.take_along_axis(p, picks, axis=1) * ~lost[:, None]
    capacity = None if dropped is None else 3
    return RouterLayer(name, stack, 1, logits, p, picks, weights, lost, capacity=capacity)


def make_trace(*layers: RouterLayer, tokens: tuple[str, ...] = (), **fields: Any) -> RoutingTrace:
    sequences = {}
    for layer in layers:
        pieces = tokens or tuple(f"▁{i}" for i in range(len(layer.experts)))
        special = [piece == "</s>" for piece in pieces]
        sequences[layer.stack] = TokenSequence(pieces, np.arange(len(pieces)), np.array(special))
    return RoutingTrace(fields.pop("text", "text"), MODEL, sequences, layers, **fields)


@pytest.fixture
def trace() -> RoutingTrace:
    first = make_layer([[t % 4, (t + 1) % 4] for t in range(7)], 4, dropped=2)
    second = make_layer([[5]] * 7, 6, "encoder.3")
    return make_trace(first, second, tokens=TOKENS, text="two\nlines | `x`")


def files_of(trace: RoutingTrace) -> dict[str, bytes]:
    made = content.artifacts(trace, measure(trace), figures_of)
    return {artifact.path: artifact.content for artifact in made}


def test_load_code_has_a_digit_per_expert_and_a_row_per_layer() -> None:
    # Loads ½, ¼, ¼, 0 are 2, 1, 1, 0 uniform shares, of which 4 are the most.
    one = make_layer([[0], [0], [1], [2]], 4)
    # All to one of eight: eight shares, more than can be told.
    other = make_layer([[7]] * 4, 8, "encoder.3")
    assert content.load_code(make_trace(one, other)) == "8440.0000000f"
    assert content.load_code(make_trace(one)) == "8440"


def test_load_code_is_of_the_first_stack_alone() -> None:
    encoder = make_layer([[0], [1]], 2)
    decoder = make_layer([[0]], 2, "decoder.1", "decoder")
    assert content.load_code(make_trace(decoder, encoder)) == "44"


def test_load_code_averages_what_is_too_many() -> None:
    # 128 experts in pairs; the first pair takes everything: 64 uniform shares each.
    wide = make_layer([[0], [1]], 128)
    assert content.load_code(make_trace(wide)) == "f" + 63 * "0"
    # Of the first pair of 64 layers one gives all to expert 0 and one to expert 1.
    deep = [make_layer([[i % 2]], 2, f"encoder.{i}") for i in range(64)]
    assert content.load_code(make_trace(*deep)) == ".".join(["44"] * 32)


def test_longest_load_code_fits_a_tag() -> None:
    layers = [make_layer([[0]], 200, f"encoder.{i}") for i in range(99)]
    code = content.load_code(make_trace(*layers))
    assert [len(row) for row in code.split(".")] == [64] * 32


def test_tags_find_a_run_and_explain_it(trace: RoutingTrace) -> None:
    tags = content.tags(Entry(trace, "key"), "id")
    assert tags[content.TAG_ANALYSIS] == "id"
    assert tags[content.TAG_KEY] == "key"
    assert tags[content.TAG_TEXT] == "two lines | `x`"
    assert tags[content.TAG_TOKENS] == "7"
    assert tags[content.TAG_STACKS] == "encoder"
    assert tags[content.TAG_LOAD] == content.load_code(trace)
    assert tags[content.TAG_TAGS] == ""
    assert not tags.keys() & {content.TAG_LINK, content.TAG_SIZE}
    note = tags["mlflow.note.content"]
    for words in ("step", "summary.md", "7 tokens through 2 router layers"):
        assert words in note
    long = replace(trace, text="``` # " * 5000)
    assert all(len(value) <= 5000 for value in content.tags(Entry(long, "k"), "id").values())


def test_parameters_are_the_whole_provenance(trace: RoutingTrace) -> None:
    provenance = {
        "libraries": {"torch": "2.0", "numpy": "2.4"},
        "tokenizer": "785f",
        "dtype": "float32",
        "device": "cpu",
        "mode": "generated",
        "generate": {"seed": 3, "do_sample": True},
        "notes": ["x" * 10_000],
    }
    params = content.params(replace(trace, provenance=provenance, target="t", output="o"))
    expected = {
        "model": "model",
        "model_revision": "abc",
        "tokenizer": "785f",
        "libraries.torch": "2.0",
        "dtype": "float32",
        "device": "cpu",
        "mode": "generated",
        "generate.seed": "3",
        "generate.do_sample": "true",
        "text_sha256": hashlib.sha256(trace.text.encode()).hexdigest(),
        "target_sha256": hashlib.sha256(b"t").hexdigest(),
        "characters": "15",
        "num_experts": "4,6",
        "top_k": "2,1",
    }
    assert expected.items() <= params.items()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", params["moescope_version"])
    assert len(params["notes"]) == 6000
    assert params["notes"].endswith("…")


def test_what_the_history_sorts_by_is_a_metric(trace: RoutingTrace) -> None:
    names = {name for name, _, _ in content.metrics(trace, measure(trace))}
    assert SORTS.keys() - {"created"} <= names
    # What MLflow allows.
    assert all(re.fullmatch(r"[\w./ :-]{1,250}", name) for name in names)


def test_dataset_is_the_text_whatever_the_model(trace: RoutingTrace) -> None:
    found = content.dataset(trace)
    assert found["digest"] == hashlib.sha256(trace.text.encode()).hexdigest()[:36]
    assert json.loads(found["profile"])["characters"] == len(trace.text)
    assert json.loads(found["source"]) == {"tags": {"moescope.text": "text.txt"}}
    other = replace(trace, model=ModelIdentity("other", "1", "A"), layers=trace.layers[:1])
    assert content.dataset(other) == found
    forced = content.dataset(replace(trace, target="to this"))
    assert forced["digest"] != found["digest"]
    columns = json.loads(forced["schema"])["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["text", "target"]


def test_mlflow_reads_the_dataset_back(trace: RoutingTrace) -> None:
    from mlflow.data import get_source
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.entities import Dataset
    from mlflow.types import Schema

    found = content.dataset(trace)
    source = get_source(Dataset(**found))
    assert isinstance(source, CodeDatasetSource)
    columns = json.loads(found["schema"])["mlflow_colspec"]
    assert Schema.from_json(json.dumps(columns)).input_names() == ["text"]


def test_files_of_a_run_and_their_checksums(trace: RoutingTrace) -> None:
    made = files_of(replace(trace, target="t", output="o"))
    figures = ("flow", "load", "tokens_by_layer", "measures")
    drawn = {f"figures/{name}.{ending}" for name in figures for ending in ("json", "html")}
    assert made.keys() == {*files.NAMES, *drawn, "SHA256SUMS"}
    assert list(made)[-1] == "SHA256SUMS"
    lines = made.pop("SHA256SUMS").decode().splitlines()
    expected = [f"{hashlib.sha256(data).hexdigest()}  {path}" for path, data in made.items()]
    assert lines == expected
    assert (made["target.txt"], made["output.txt"]) == (b"t", b"o")
    assert made["text.txt"].decode() == trace.text
    assert RoutingTrace.from_bytes(made["trace.npz"]).text == trace.text
    assert not {"target.txt", "output.txt"} & files_of(trace).keys()


def test_files_come_out_the_same_again(trace: RoutingTrace) -> None:
    assert files_of(trace) == files_of(trace)


def test_parquet_holds_what_the_csv_holds(trace: RoutingTrace) -> None:
    made = files_of(trace)
    table = pq.read_table(io.BytesIO(made["routing.parquet"]))
    assert tuple(table.column_names) == CSV_COLUMNS
    assert table.schema.equals(SCHEMA)
    rows = list(csv.DictReader(io.StringIO(routing_csv(trace), newline="")))
    assert made["routing.csv"].decode() == routing_csv(trace)
    assert len(rows) == table.num_rows == 7 * (4 + 6)
    for row, found in zip(rows, table.to_pylist(), strict=True):
        for name, value in found.items():
            if value is None:
                assert row[name] == "", name
            elif isinstance(value, bool):
                assert row[name] == str(value).lower(), name
            elif isinstance(value, float):
                # The CSV's decimal is the same float32.
                assert np.float32(row[name]) == np.float32(value), name
            else:
                assert row[name] == str(value), name
        assert (found["rank"] is None) == (found["weight"] is None) == (not found["selected"])
    assert sum(row["dropped"] for row in table.to_pylist()) == 4


def test_json_file_is_the_analysis_without_where_it_stands(trace: RoutingTrace) -> None:
    made = files_of(trace)
    body = analysis_json(trace)
    for name in ("run_id", "status", "detail", "url", "mlflow_url"):
        del body[name]
    assert json.loads(made["analysis.json"]) == body


def test_load_figure_shows_what_the_table_counts(trace: RoutingTrace) -> None:
    only = make_trace(trace.layers[1], tokens=TOKENS)
    made = files_of(only)
    selected = [0] * 6
    for row in csv.DictReader(io.StringIO(made["routing.csv"].decode(), newline="")):
        selected[int(row["expert_index"])] += row["selected"] == "true"
    figure = json.loads(made["figures/load.json"])
    (drawn,) = next(each["z"] for each in figure["data"] if each["type"] == "heatmap")
    assert drawn == pytest.approx([count / 7 for count in selected])


def test_summary_tells_text_model_and_layers(trace: RoutingTrace) -> None:
    text = files_of(trace)["summary.md"].decode()
    assert "```text\ntwo\nlines | `x`\n```" in text
    assert "7 tokens (n)" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == ["| `encoder.1`", "| `encoder.3`"]
    assert rows[0].endswith("| 1 of 7 |")
    # All tokens to one of six: √5, where chance has √(5/7).
    assert "2.24 (0.845)" in rows[1]
    assert "nan" not in text


def test_summary_keeps_a_text_in_its_block(trace: RoutingTrace) -> None:
    text = "```\n# not a heading\n````"
    told = files_of(replace(trace, text=text, output="o", target="t" * 9000))["summary.md"].decode()
    assert f"`````text\n{text}\n`````\n" in told
    assert "Output, generated:\n\n```text\no\n```" in told
    assert len(told) < 6000


def test_make_file_makes_each_file_as_it_is_kept(trace: RoutingTrace) -> None:
    for path, kept in files_of(trace).items():
        made = content.make_file(trace, path, figures_of)
        if path == "SHA256SUMS":
            assert made is None
        elif path.endswith(".html"):
            # Kept ones fetch the drawing code; these have it inside.
            assert b'src="https://cdn' in kept
            assert made is not None
            assert b'src="http' not in made
            assert len(made) > 3_000_000
        else:
            assert made == kept, path


@pytest.mark.parametrize(
    "path",
    ["", "x", "figures/", "figures/x.html", "figures/flow", "figures/flow.png", "flow.html",
     "../text.txt", "target.txt", "output.txt", "figures/../text.txt", "figures/.json"],
)  # fmt: skip
def test_make_file_knows_no_other_names(trace: RoutingTrace, path: str) -> None:
    assert content.make_file(trace, path, figures_of) is None


def test_every_file_has_a_media_type(trace: RoutingTrace) -> None:
    for path in files_of(trace):
        assert re.fullmatch(r"[a-z]+/[a-z.-]+(; charset=utf-8)?", files.media_type(path))
