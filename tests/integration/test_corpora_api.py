"""Passes over corpora and the files of their atlas over HTTP."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.corpus.atlas import label_profile, load
from app.corpus.counting.counts import Counts
from app.corpus.library import Library
from app.recording import atlas_files
from app.recording.files import media_type
from app.server import build
from app.settings import load_settings
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Answer, Folder, ask, is_ready, serving, until
from tests.integration.test_api import check_problem

RUN = "cd" * 16
FILES = (*atlas_files.NAMES, "report.html")


@pytest.fixture(scope="module")
def data(data_folder: Folder) -> Path:
    return data_folder()


@pytest.fixture(scope="module")
def corpus(data: Path) -> Path:
    path = data / "corpus.jsonl"
    assert write_corpus(path, 3) >= 40
    return path


@pytest.fixture(scope="module")
def pass_id(data: Path, corpus: Path) -> str:
    id_ = make_pass(data, corpus, "forty")
    Library(data).recorded(id_, RUN)
    return id_


@pytest.fixture(scope="module")
def server(data: Path, pass_id: str) -> Iterator[str]:
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data))) as address:
        until(lambda: is_ready(address))
        yield address


def get(server: str, id_: str, file: str) -> Answer:
    return ask(f"{server}/api/v1/corpora/{id_}/{file}")


def counts_of(data: Path, pass_id: str) -> Counts:
    return Library(data).counts(pass_id)


def test_the_list_says_what_was_counted(server: str, data: Path, pass_id: str) -> None:
    answer = ask(f"{server}/api/v1/corpora")
    assert answer.status == 200
    counts = counts_of(data, pass_id)
    mine = next(line for line in answer.json()["corpora"] if line["id"] == pass_id)
    assert {
        "id": pass_id,
        "run_id": RUN,
        "name": "forty",
        "model": "switch-mini-8",
        "documents": counts.documents,
        "tokens": counts.tokens,
        "finished": True,
        "labels": ["domain"],
        "url": f"{server}/experts?run={pass_id}",
    }.items() <= mine.items()
    assert re.match(r"20\d\d-\d\d-\d\dT", mine["created"])
    check_problem(ask(f"{server}/api/v1/corpora?limit=0"), 422)


def test_every_file_is_an_attachment_of_its_kind(server: str, pass_id: str) -> None:
    for file in FILES:
        answer = get(server, pass_id, file)
        assert answer.status == 200, file
        stem, _, ending = file.partition(".")
        name = f"{stem}-{pass_id[:8]}.{ending}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["content-type"] == media_type(file)


def rows_of(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def table_of(answer: Answer) -> pa.Table:
    return pq.read_table(io.BytesIO(answer.body))


def same(text: str, value: Any) -> bool:
    if value is None:
        return text == ""
    return float(text) == value if isinstance(value, float) else text == str(value)


@pytest.mark.parametrize("stem", ["atlas", "labels"])
def test_csv_and_parquet_say_the_same(server: str, pass_id: str, stem: str) -> None:
    rows = rows_of(get(server, pass_id, f"{stem}.csv"))
    table = table_of(get(server, pass_id, f"{stem}.parquet")).to_pylist()
    assert len(rows) == len(table) > 0
    for row, found in zip(rows, table, strict=True):
        assert row.keys() == found.keys()
        assert all(same(row[name], value) for name, value in found.items()), (row, found)


def test_the_atlas_has_every_expert_with_its_load(server: str, data: Path, pass_id: str) -> None:
    counts = counts_of(data, pass_id)
    table = table_of(get(server, pass_id, "atlas.parquet"))
    assert table.schema.equals(atlas_files.ATLAS_SCHEMA)
    rows = table.to_pylist()
    places = [(row["layer"], row["expert"]) for row in rows]
    assert places == [
        (layer, expert)
        for layer, shape in enumerate(counts.shape)
        for expert in range(shape.num_experts)
    ]
    for row in rows:
        its = load(counts, row["layer"])
        assert row["load"] == its.value[row["expert"]]
        assert row["load_low"] <= row["load"] <= row["load_high"]
        assert row["uniform"] == 1 / 8
        assert row["speciality"]
        assert row["evidence"]
    assert any(row["top_tokens"] for row in rows)


def test_the_labels_are_the_profiles(server: str, data: Path, pass_id: str) -> None:
    counts = counts_of(data, pass_id)
    rows = table_of(get(server, pass_id, "labels.parquet")).to_pylist()
    profiles = [label_profile(counts, layer, "domain") for layer in range(len(counts.shape))]
    assert len(rows) == sum(profile.share.size for profile in profiles)
    for row in rows:
        profile = profiles[row["layer"]]
        value = profile.values.index(row["value"])
        place = (row["expert"], value)
        assert row["risk_ratio"] == profile.risk_ratio[place]
        assert row["tokens"] == profile.tokens[value]
        assert row["comparisons"] == profile.comparisons
        assert row["level"] == profile.level
        assert (row["low"] is None) == bool(profile.low[place] != profile.low[place])


def test_the_tokens_are_all_counted(server: str, data: Path, pass_id: str) -> None:
    counts = counts_of(data, pass_id)
    pieces = Library(data).pieces(pass_id)
    rows = table_of(get(server, pass_id, "tokens.parquet")).to_pylist()
    plain = int(counts.token_table.tokens[~counts.token_table.special].sum())
    for layer in range(len(counts.shape)):
        mine = [row for row in rows if row["layer"] == layer]
        assert sum(row["count"] for row in mine) == plain
    for row in rows[:500]:
        assert row["piece"] == pieces[row["token_id"]]
        assert 0 < row["share"] <= 1
        assert row["count"] <= row["total"]


def test_the_report_opens_offline(server: str, data: Path, pass_id: str) -> None:
    page = get(server, pass_id, "report.html").body.decode()
    counts = counts_of(data, pass_id)
    assert f"{counts.documents:,} documents, {counts.tokens:,} tokens" in page
    assert "prefers-color-scheme: dark" in page
    for shape in counts.shape:
        assert shape.name in page
    assert not re.search(r"""<(?:script|link|img)[^>]*(?:src|href)=["']?(?:https?:)?//""", page)
    for term in ("Risk ratio", "Intervals", "Speciality", "Load"):
        assert f"<dt>{term}</dt>" in page
    places = set(re.findall(r'<div id="([^"]+)"></div>', page))
    layers = range(len(counts.shape))
    assert places == {
        "information-domain",
        *(f"risk-{layer}-domain" for layer in layers),
        *(f"similarity-{layer}" for layer in layers),
    }


def test_what_is_not_there_is_a_problem(server: str, pass_id: str) -> None:
    for id_, file in (
        ("0" * 32, "atlas.csv"),
        ("nope", "atlas.csv"),
        (pass_id, "atlas.xlsx"),
        (pass_id, "..%2Fabout.json"),
    ):
        check_problem(get(server, id_, file), 404)


def test_what_has_counted_nothing_yet_is_told(server: str, data: Path, pass_id: str) -> None:
    id_ = "ab" * 16
    library = Library(data)
    library.submit(id_, library.find(pass_id).about.order, 1)
    problem = check_problem(get(server, id_, "atlas.csv"), 404)
    assert problem["detail"] == "this pass has counted nothing yet"
    listed = ask(f"{server}/api/v1/corpora").json()["corpora"]
    line = next(each for each in listed if each["id"] == id_)
    assert (line["documents"], line["tokens"], line["finished"]) == (0, 0, False)


def test_a_pass_that_goes_on_is_given_as_far_as_it_is(
    server: str, data: Path, corpus: Path
) -> None:
    id_ = make_pass(data, corpus, "stopped", 96, stop=lambda: True)
    counts = counts_of(data, id_)
    rows = table_of(get(server, id_, "atlas.parquet")).to_pylist()
    assert rows[0]["documents"] == counts.documents
    listed = ask(f"{server}/api/v1/corpora").json()["corpora"]
    assert not next(each for each in listed if each["id"] == id_)["finished"]
    report = get(server, id_, "report.html").body.decode()
    assert f"So far, {counts.documents:,} documents (stopped)" in report


def test_a_pass_is_found_by_its_run(server: str, pass_id: str) -> None:
    assert get(server, RUN, "atlas.csv").body == get(server, pass_id, "atlas.csv").body


def test_the_documentation_has_the_routes(server: str) -> None:
    paths = ask(f"{server}/openapi.json").json()["paths"]
    assert "/api/v1/corpora" in paths
    responses = paths["/api/v1/corpora/{id}/{file}"]["get"]["responses"]
    assert set(responses) == {"200", "307", "404", "422", "503"}
    assert "application/problem+json" in responses["404"]["content"]
