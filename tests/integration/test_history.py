"""The history: found, sorted, changed and deleted in a real MLflow store."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from mlflow.tracking import MlflowClient

from app.analysis import Analyst, figures_of
from app.recording.base import InvalidQueryError, Page, Query, Receipt, RunNotFoundError
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.task import Task
from app.settings import Settings
from tests.integration.helpers import MakeEntry, until
from tests.many_runs import multiply


def record(recorder: MlflowRecorder, make_entry: MakeEntry, text: str) -> Receipt:
    receipt = recorder.receipt(recorder.submit(make_entry(text)).id, 60)
    assert receipt.status == "recorded", receipt
    return receipt


def texts(page: Page) -> list[str]:
    return [run.text for run in page.runs]


def test_history_is_newest_first_in_pages(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    for number in range(5):
        record(recorder, make_entry, f"line {number}")
    seen, cursor = [], None
    for _ in range(3):
        page = recorder.history(2, cursor)
        seen += texts(page)
        cursor = page.next
    assert seen == [f"line {number}" for number in (4, 3, 2, 1, 0)]
    assert cursor is None
    for bad in ("x", "eyJvZmZzZXQiOiAiYSJ9", "\x00", "🙂", "local:x", "local:-1"):
        with pytest.raises(InvalidQueryError):
            recorder.history(2, bad)


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("RIVER", 1),
        ("it's", 1),
        ('"quoted"', 1),
        ('it\'s "quoted"', 1),
        ("100%", 1),
        ("0%_", 0),
        ("_", 0),
        ("\\", 0),
        ("日本", 1),
        ("two\nlines", 1),
        ("`", 0),
        ("' or '1'='1", 0),
        ("  ", 1),
    ],
)
def test_history_finds_a_part_of_the_text(
    recorder: MlflowRecorder, make_entry: MakeEntry, part: str, found: int
) -> None:
    record(recorder, make_entry, 'The river: it\'s "quoted" 100% 日本 two\nlines')
    assert len(recorder.history(10, None, Query(text=part)).runs) == found


def test_history_of_one_model(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    record(recorder, make_entry, "of a model")
    name = make_entry("of a model").trace.model.id
    assert len(recorder.history(10, None, Query(model=name)).runs) == 1
    for other in (name[:-1], name.upper(), "' or '1'='1", "%", "_" * len(name)):
        assert recorder.history(10, None, Query(model=other)).runs == []


def test_history_of_a_stack_a_day_and_a_tag(recorder: MlflowRecorder, analyst: Analyst) -> None:
    one = analyst.record(analyst.trace("one stack"), wait=60)
    both = analyst.record(analyst.trace(Task("The <extra_id_0>.", target="a")), wait=60)
    recorder.tag(one.id, ["sports", "a b"])
    today = datetime.now(UTC).date()
    expected = {
        Query(stack="decoder"): [both.run_id],
        Query(stack="encoder"): [both.run_id, one.run_id],
        Query(tag="sports"): [one.run_id],
        Query(tag="a b"): [one.run_id],
        Query(tag="sport"): [],
        Query(since=today, until=today): [both.run_id, one.run_id],
        Query(since=today + timedelta(1)): [],
        Query(until=today - timedelta(1)): [],
        Query(since=date.min, until=date.max): [both.run_id, one.run_id],
    }
    for query, ids in expected.items():
        assert [run.run_id for run in recorder.history(10, None, query).runs] == ids, query


def test_history_is_sorted_by_a_metric_that_it_shows(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    for text in ("a", "a much longer text than that", "three words here"):
        record(recorder, make_entry, text)
    client = MlflowClient(settings.tracking_uri)
    for sort in ("tokens", "load_cv_mean", "confidence_mean"):
        for descending in (True, False):
            page = recorder.history(10, None, Query(sort=sort, descending=descending))
            values = [client.get_run(run.run_id).data.metrics[sort] for run in page.runs]
            assert values == sorted(values, reverse=descending)
            assert [run.value for run in page.runs] == values
            assert len(set(values)) > 1
    with pytest.raises(InvalidQueryError, match="can't be sorted by"):
        recorder.history(10, None, Query(sort="x`; drop table runs"))


def test_a_line_of_the_history_tells_what_a_run_is(
    recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    before = recorder.submit(make_entry("The river bank"))
    (waiting,) = recorder.history(10).runs
    record(recorder, make_entry, "The river bank")
    (run,) = recorder.history(10).runs
    trace = make_entry("The river bank").trace
    assert waiting.run_id in (before.id, run.run_id)
    assert (run.status, run.stacks, run.tags) == ("recorded", ("encoder",), ())
    assert run.tokens == waiting.tokens == len(trace.sequences["encoder"])
    assert run.name == run.text == waiting.text == "The river bank"
    assert run.load == waiting.load
    assert run.load.count(".") == len(trace.layers) - 1
    assert run.size is not None
    assert run.size > len(trace.to_bytes())


def test_a_name_is_shown_found_and_taken_back(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    receipt = record(recorder, make_entry, "The river bank")
    assert receipt.run_id is not None
    recorder.rename(receipt.id, "  baseline\n one ")
    for part in ("baseline ONE", "river"):
        (run,) = recorder.history(10, None, Query(text=part)).runs
        assert (run.name, run.text) == ("baseline one", "The river bank")
    client = MlflowClient(settings.tracking_uri)
    assert client.get_run(receipt.run_id).info.run_name == "baseline one"
    assert recorder.load(receipt.id).summary.name == "baseline one"
    recorder.rename(receipt.id, "")
    (run,) = recorder.history(10).runs
    assert (run.name, run.text) == ("The river bank", "The river bank")
    assert recorder.history(10, None, Query(text="baseline")).runs == []


def test_tags_are_added_and_removed(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    receipt = record(recorder, make_entry, "tagged")
    assert receipt.run_id is not None
    recorder.tag(receipt.id, ["b", " a ", "b", "größe 🙂"])
    recorder.tag(receipt.run_id, ["c"], ["b", "never there"])
    assert recorder.history(10).runs[0].tags == ("a", "größe 🙂", "c")


@pytest.mark.parametrize("tag", ["", "  ", "x" * 10_000, "a,b", "a\nb", "\x00"])
def test_tags_and_names_that_can_not_be_change_nothing(
    recorder: MlflowRecorder, make_entry: MakeEntry, tag: str
) -> None:
    receipt = record(recorder, make_entry, "as it was")
    recorder.tag(receipt.id, ["kept"])
    with pytest.raises(InvalidQueryError):
        recorder.tag(receipt.id, ["new", tag])
    with pytest.raises(InvalidQueryError):
        recorder.rename(receipt.id, "x" * 10_000)
    with pytest.raises(InvalidQueryError):
        recorder.tag(receipt.id, [str(number) for number in range(30)])
    (run,) = recorder.history(10).runs
    assert (run.name, run.tags) == ("as it was", ("kept",))


@pytest.mark.parametrize("id_", ["", "0" * 32, "../x", "' or 1=1 --"])
def test_unknown_runs_are_neither_changed_nor_deleted(recorder: MlflowRecorder, id_: str) -> None:
    with pytest.raises(RunNotFoundError):
        recorder.rename(id_, "x")
    with pytest.raises(RunNotFoundError):
        recorder.tag(id_, ["x"])
    recorder.delete([id_], 0)


def test_a_deleted_run_is_gone_at_once_and_comes_back(
    recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    one, other = (record(recorder, make_entry, text) for text in ("one", "other"))
    assert one.run_id is not None
    recorder.delete([one.run_id], 60)
    assert texts(recorder.history(10)) == ["other"]
    for id_ in (one.id, one.run_id):
        with pytest.raises(RunNotFoundError):
            recorder.load(id_)
        with pytest.raises(RunNotFoundError), recorder.file(id_, "routing.csv"):
            pass
    again = record(recorder, make_entry, "one")
    assert again.run_id not in (None, one.run_id)
    recorder.delete([again.id], 60)
    assert recorder.restore([one.run_id, other.id]) == [one.run_id]
    assert texts(recorder.history(10)) == ["other", "one"]
    assert recorder.load(one.id).trace.text == "one"


def test_a_deletion_takes_run_and_files_and_nothing_else(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    one, other = (record(recorder, make_entry, text) for text in ("one", "other"))
    assert one.run_id is not None
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_run(one.run_id).info.experiment_id
    foreign = client.create_run(experiment).info.run_id
    recorder.delete([one.id, foreign], 0)
    until(lambda: not recorder._outbox.deletions())
    assert client.get_run(one.run_id).info.lifecycle_stage == "deleted"
    assert client.get_run(foreign).info.lifecycle_stage == "active"
    left = {path.parent.parent.name for path in settings.data_dir.rglob("trace.npz")}
    assert left == {other.run_id}
    assert not (settings.data_dir / "artifacts" / one.run_id / "artifacts").exists()
    with pytest.raises(RunNotFoundError):
        recorder.load(one.run_id)
    assert recorder.restore([one.run_id]) == []


def test_a_deletion_is_carried_out_after_a_restart(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    receipt = record(recorder, make_entry, "to go")
    assert receipt.run_id is not None
    recorder.delete([receipt.id], 0.5)
    recorder.close()
    client = MlflowClient(settings.tracking_uri)
    assert client.get_run(receipt.run_id).info.lifecycle_stage == "active"
    time.sleep(0.5)
    again = MlflowRecorder(settings, figures_of)
    again.start()
    until(lambda: client.get_run(receipt.run_id).info.lifecycle_stage == "deleted")
    again.close()


def test_waiting_ones_are_listed_and_can_be_deleted(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    recorder.start()
    recorder.receipt(recorder.submit(make_entry("first")).id, 60)
    (settings.data_dir / "artifacts").rename(settings.data_dir / "away")
    (settings.data_dir / "artifacts").write_text("in the way", encoding="utf-8")
    waiting = recorder.receipt(recorder.submit(make_entry("second")).id, 60)
    assert waiting.status == "pending"
    page = recorder.history(10)
    first = page.runs[0]
    assert (first.text, first.status, first.detail) == ("second", "pending", waiting.detail)
    with pytest.raises(InvalidQueryError, match="not in the store yet"):
        recorder.rename(waiting.id, "x")
    recorder.delete([waiting.id], 0)
    assert "second" not in texts(recorder.history(10))
    (settings.data_dir / "artifacts").unlink()
    (settings.data_dir / "away").rename(settings.data_dir / "artifacts")
    recorder.retry()
    until(lambda: not recorder._outbox.deletions())
    assert texts(recorder.history(10)) == ["first"]
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("moescope")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.parametrize("many", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_runs_are_paged_sorted_and_searched(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry, many: int
) -> None:
    record(recorder, make_entry, "the only real one")
    recorder.close()
    multiply(settings.data_dir / "mlflow.db", many)
    recorder = MlflowRecorder(settings, figures_of)
    recorder.start()
    queries = {
        "newest": Query(),
        "sorted": Query(sort="load_cv_mean"),
        "rare": Query(text="copy 1987"),
        "all at once": Query(text="copy", model="switch-mini-8", stack="encoder", tag="odd"),
    }
    for name, query in queries.items():
        page = recorder.history(50, None, query)
        assert len(page.runs) == (1 if name == "rare" else 50)
        assert (page.next is None) == (name == "rare")
    # Without statistics sorting takes fifty times as long; `make bench` has the times.
    with closing(sqlite3.connect(settings.data_dir / "mlflow.db")) as database:
        assert database.execute(
            "select 1 from sqlite_stat1 where tbl = 'latest_metrics'"
        ).fetchone()
    seen, cursor = set(), None
    for _ in range(5):
        page = recorder.history(200, cursor, replace(Query(), sort="tokens"))
        seen |= {run.run_id for run in page.runs}
        cursor = page.next
    assert len(seen) == 1000
    recorder.close()
