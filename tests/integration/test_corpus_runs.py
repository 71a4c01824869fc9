"""Passes over corpora as runs: what their MLflow runs hold, in the history, and compared."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from app.analysis import Analyst, build_analyst
from app.corpus.atlases import atlas_of
from app.corpus.library import Library
from app.corpus.reading.source import digest
from app.figures.theme import LIGHT
from app.pages import compare, run
from app.passes import Passes
from app.recording import atlas_files
from app.recording.base import CorpusRunError, Query, RunNotFoundError
from app.server import build
from app.settings import Settings, load_settings
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Folder, ask, is_ready, serving, until
from tests.integration.test_api import check_problem
from tests.unit.test_panels import every, text_of

EACH, NAMES = 3, ("whole", "beginnings", "fewer")
TEXT = "The bank of the river"


@pytest.fixture(scope="module")
def settings(data_folder: Folder) -> Settings:
    return load_settings(MOESCOPE_DATA_DIR=data_folder())


@pytest.fixture(scope="module")
def passes(settings: Settings) -> dict[str, str]:
    """Pass ids by name: two over one corpus, the other over a part of it."""
    data = settings.data_dir
    corpus, part = data / "corpus.jsonl", data / "part.jsonl"
    write_corpus(corpus, EACH)
    write_corpus(part, 2)
    files = dict(zip(NAMES, (corpus, corpus, part), strict=True))
    lengths = dict(zip(NAMES, (96, 48, 96), strict=True))
    return {name: make_pass(data, file, name, lengths[name]) for name, file in files.items()}


@pytest.fixture(scope="module")
def runs(settings: Settings, passes: dict[str, str]) -> dict[str, str]:
    """Their runs, recorded when their files are gone already."""
    for file in settings.data_dir.glob("*.jsonl"):
        file.rename(file.with_suffix(".kept"))
    recorder = Passes(settings)
    return {name: recorder.record(id_) for name, id_ in passes.items()}


@pytest.fixture(scope="module")
def server(settings: Settings, runs: dict[str, str]) -> Iterator[str]:
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        yield address


@pytest.fixture(scope="module")
def text_run(server: str) -> str:
    answer = ask(f"{server}/api/v1/analyses", {"text": TEXT}).json()
    until(
        lambda: ask(f"{server}/api/v1/analyses/{answer['run_id']}").json()["status"] == "recorded"
    )
    return str(answer["run_id"])


@pytest.fixture(scope="module")
def analyst(settings: Settings, runs: dict[str, str], text_run: str) -> Iterator[Analyst]:
    found = build_analyst(settings)
    yield found
    found.recorder.close()


def lines(server: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(f"{server}/api/v1/runs{query}").json()["runs"]
    return found


def artifacts(settings: Settings, run_id: str) -> Path:
    return settings.data_dir / "artifacts" / run_id / "artifacts"


def test_a_run_holds_counts_atlas_and_report(
    settings: Settings, passes: Mapping[str, str], runs: Mapping[str, str]
) -> None:
    library = Library(settings.data_dir)
    found = library.find(passes["whole"])
    folder = artifacts(settings, runs["whole"])
    atlas = atlas_of(library, found)
    for name in ("atlas.csv", "labels.csv", "tokens.csv"):
        assert (folder / "atlas" / name).read_bytes() == atlas_files.content(atlas, name)
    with (folder / "atlas" / "tokens.csv").open(encoding="utf-8", newline="") as rows:
        assert {row["layer"] for row in csv.DictReader(rows)} == {"0", "1", "2"}
    assert (folder / "counts" / "shape.json").exists()
    report = (folder / "atlas" / "report.html").read_text()
    of_files = digest([settings.data_dir / "corpus.kept"])
    assert found.digest == of_files
    assert of_files in report
    assert "http://" not in report.replace("http://www.w3.org", "").partition("<main>")[2]
    recorded = MlflowClient(settings.tracking_uri).get_run(runs["whole"])
    assert recorded.data.params["corpus_sha256"] == of_files
    assert recorded.inputs.dataset_inputs[0].dataset.digest == of_files[:36]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert recorded.data.tags["moescope.bytes"] == str(size)


def test_recording_again_gives_the_same_run(
    settings: Settings, passes: Mapping[str, str], runs: Mapping[str, str]
) -> None:
    assert Passes(settings).record(passes["whole"]) == runs["whole"]


def test_two_who_record_a_pass_at_once_make_one_run(data_folder: Folder) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder())
    corpus = settings.data_dir / "corpus.jsonl"
    write_corpus(corpus, 1)
    id_ = make_pass(settings.data_dir, corpus, "one", 32)
    with ThreadPoolExecutor(2) as pool:
        made = list(
            pool.map(lambda passes: passes.record(id_), [Passes(settings), Passes(settings)])
        )
    assert made[0] == made[1]
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("moescope")
    assert experiment is not None
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == made[:1]


@pytest.mark.parametrize("texts", [[], ["One document."]])
def test_a_corpus_of_next_to_nothing_is_recorded_as_well(
    data_folder: Folder, texts: list[str]
) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder())
    corpus = settings.data_dir / "corpus.jsonl"
    rows = [{"text": text, "domain": "x"} for text in (" ", *texts)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_id = Passes(settings).record(make_pass(settings.data_dir, corpus, "little", 32))
    recorded = MlflowClient(settings.tracking_uri).get_run(run_id)
    assert recorded.data.metrics["documents"] == len(texts)
    assert (artifacts(settings, run_id) / "atlas" / "report.html").exists()


def test_passes_stand_in_the_history_beside_texts(
    server: str, settings: Settings, runs: Mapping[str, str], text_run: str
) -> None:
    counts = Library(settings.data_dir).counts(runs["whole"])
    found = lines(server)
    assert [line["run_id"] for line in found] == [text_run, *(runs[name] for name in NAMES[::-1])]
    assert [line["kind"] for line in found] == ["analysis", *["corpus"] * 3]
    line = found[-1]
    assert (line["text"], line["name"], line["model"]) == ("whole", "whole", "switch-mini-8")
    assert (line["tokens"], line["documents"]) == (counts.tokens, counts.documents)
    assert line["url"] == f"{server}/experts?run={runs['whole']}"
    assert (line["stacks"], line["status"]) == (["encoder"], "recorded")
    assert line["load"].count(".") == 2
    assert found[0]["documents"] is None


def test_the_history_is_paged_filtered_and_sorted_over_both_kinds(
    server: str, runs: Mapping[str, str], text_run: str
) -> None:
    everything, cursor = [], ""
    for _ in range(4):
        page = ask(f"{server}/api/v1/runs?limit=1{cursor}").json()
        everything += [line["run_id"] for line in page["runs"]]
        cursor = f"&cursor={page['next']}"
    assert (len(set(everything)), page["next"]) == (4, None)
    assert [line["run_id"] for line in lines(server, "?kind=analysis")] == [text_run]
    assert len(lines(server, "?kind=corpus")) == 3
    assert [line["run_id"] for line in lines(server, "?q=BEGINN")] == [runs["beginnings"]]
    assert lines(server, "?stack=decoder") == []
    for sort in ("tokens", "load_cv_mean", "confidence_mean", "token_entropy_mean"):
        values = [line["value"] for line in lines(server, f"?sort={sort}&order=asc")]
        assert values == sorted(values)
        assert len(values) == 4
    check_problem(ask(f"{server}/api/v1/runs?kind=song"), 422)


def test_a_pass_is_named_and_tagged_as_any_run(server: str, runs: Mapping[str, str]) -> None:
    url = f"{server}/api/v1/runs/{runs['fewer']}"
    changed = ask(url, {"name": "a part", "add_tags": ["paper"]}, method="PATCH").json()
    assert (changed["name"], changed["text"], changed["tags"]) == ("a part", "fewer", ["paper"])
    assert [line["run_id"] for line in lines(server, "?tag=paper&q=part")] == [runs["fewer"]]


@pytest.mark.parametrize(
    "path",
    [
        "analyses/{}",
        "analyses/{}/routing.csv",
        "analyses/{}/figures/flow.html",
        "runs/export?ids={}",
    ],
)
def test_asked_for_as_an_analysis_it_says_what_it_is(
    server: str, runs: Mapping[str, str], path: str
) -> None:
    id_ = runs["whole"]
    problem = check_problem(ask(f"{server}/api/v1/{path.format(id_)}"), 404)
    assert "is a pass over a corpus, not an analysis" in problem["detail"]
    assert f"/experts?run={id_}" in problem["detail"]
    assert f"/api/v1/corpora/{id_}/atlas.csv" in problem["detail"]
    assert "report.html" in problem["detail"]
    assert ask(f"{server}/api/v1/corpora/{id_}/atlas.csv").status == 200


def test_its_page_leads_to_its_experts(analyst: Analyst, runs: Mapping[str, str]) -> None:
    page = run.layout(analyst)(run_id=runs["whole"])
    counts = analyst.library.counts(runs["whole"])
    assert f"{counts.documents} documents, {counts.tokens:,} tokens" in text_of(page)
    assert analyst.library.find(runs["whole"]).digest in text_of(page)
    links = [each.href for each in every(page, "Link")]
    assert links == [f"/experts?run={runs['whole']}", f"/compare?a={runs['whole']}"]
    files = [each.href.rpartition("/")[2] for each in every(page, "A")]
    assert files == ["report.html", "atlas.csv", "labels.csv", "tokens.csv"]


def compared(analyst: Analyst, **asked: str) -> Any:
    return compare.layout(analyst)(**asked)


def test_two_passes_over_one_corpus_are_compared(
    analyst: Analyst, passes: Mapping[str, str], runs: Mapping[str, str]
) -> None:
    page = compared(analyst, a=runs["whole"], b=runs["beginnings"])
    said = text_of(page)
    assert "expert numbers mean the same" in said
    assert "Both passes read the same files, byte for byte" in said
    assert "a reads up to 96 tokens of a document, b up to 48" in said
    assert f"/experts?run={passes['whole']}&with={passes['beginnings']}" in [
        each.href for each in every(page, "Link")
    ]
    store = next(each.data for each in every(page, "Store") if each.id == "passes-compared")
    loads, _, words, information, _, table = compare.passes.drawn(analyst.library, store, LIGHT)
    a, b = (analyst.library.counts(runs[name]) for name in ("whole", "beginnings"))
    cells = [
        [one if one is not None else other for one, other in zip(*rows, strict=True)]
        for rows in zip(*(trace["z"] for trace in loads["data"][:2]), strict=True)
    ]
    for layer in range(3):
        part = a.layout.part(layer)
        shares = [each.usage.assignments[part] / each.tokens for each in (a, b)]
        assert cells[layer] == pytest.approx((shares[1] - shares[0]).tolist(), abs=1e-5)
    assert words.startswith("Difference of the load")
    named = {trace["text"][-1].strip() for trace in information["data"] if "text" in trace}
    assert named == {"a", "b"}
    assert text_of(table).startswith("Information on domain, by layer")


def test_passes_over_other_files_say_so(analyst: Analyst, runs: Mapping[str, str]) -> None:
    said = text_of(compared(analyst, a=runs["whole"], b=runs["fewer"]))
    assert "They read different files" in said
    assert "byte for byte" not in said


def test_a_pass_and_a_text_lead_to_their_own_pages(
    analyst: Analyst, runs: Mapping[str, str], text_run: str
) -> None:
    page = compared(analyst, a=text_run, b=runs["whole"])
    assert "A text and a pass over a corpus can’t be compared" in text_of(page)
    assert [each.href for each in every(page, "Link")] == [
        f"/runs/{text_run}",
        f"/experts?run={runs['whole']}",
    ]


def test_a_pass_with_itself_and_with_nothing(
    analyst: Analyst, passes: Mapping[str, str], runs: Mapping[str, str]
) -> None:
    same = text_of(compared(analyst, a=runs["whole"], b=passes["whole"]))
    assert "Run a and run b are the same run" in same
    unknown = text_of(compared(analyst, a=runs["whole"], b="0" * 32))
    assert "Run b: there is no such run" in unknown


def test_a_deleted_run_comes_back_or_is_recorded_anew(
    server: str, settings: Settings, passes: Mapping[str, str], runs: Mapping[str, str]
) -> None:
    id_ = runs["fewer"]
    url = f"{server}/api/v1/runs/{id_}"
    assert ask(url, method="DELETE").status == 202
    assert ask(url, method="DELETE").status == 404
    assert id_ not in [line["run_id"] for line in lines(server)]
    assert ask(f"{url}/restore", method="POST").status == 200
    assert id_ in [line["run_id"] for line in lines(server)]
    assert ask(url, method="DELETE").status == 202
    again = Passes(settings).record(passes["fewer"])
    assert again != id_
    assert again in [line["run_id"] for line in lines(server)]
    until(lambda: not artifacts(settings, id_).exists(), 60)
    assert artifacts(settings, again).exists()
    assert Library(settings.data_dir).find(passes["fewer"]).run_id == again


def test_without_its_counts_the_run_still_has_its_files(
    server: str, analyst: Analyst, settings: Settings, passes: Mapping[str, str]
) -> None:
    id_ = Library(settings.data_dir).find(passes["beginnings"]).run_id
    assert id_ is not None
    kept = ask(f"{server}/api/v1/corpora/{id_}/atlas.csv").body
    folder = Library(settings.data_dir).folder(passes["beginnings"])
    aside = folder.with_name("aside")
    shutil.move(folder, aside)
    try:
        assert ask(f"{server}/api/v1/corpora/{id_}/atlas.csv").body == kept
        report = ask(f"{server}/api/v1/corpora/{id_}/report.html")
        assert report.headers["content-disposition"].startswith("attachment")
        check_problem(ask(f"{server}/api/v1/corpora/{id_}/atlas.parquet"), 404)
        said = text_of(run.layout(analyst)(run_id=id_))
        assert "were removed from this server" in said
        told = text_of(compared(analyst, a=id_, b=passes["whole"]))
        assert "Run a is a pass over a corpus whose counts were removed" in told
    finally:
        shutil.move(aside, folder)


def test_the_recorder_tells_a_pass_from_an_analysis(
    analyst: Analyst, runs: Mapping[str, str]
) -> None:
    with pytest.raises(CorpusRunError) as told:
        analyst.recorder.load(runs["whole"])
    assert told.value.summary == analyst.recorder.summary(runs["whole"])
    found = analyst.recorder.history(10, None, Query(kind="corpus")).runs
    assert {each.kind for each in found} == {"corpus"}
    with pytest.raises(RunNotFoundError):
        analyst.recorder.summary("0" * 32)
