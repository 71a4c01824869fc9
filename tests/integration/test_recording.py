"""Recording to a real MLflow store on sqlite, and reading back."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from app.analysis import Analyst
from app.recording.base import (
    Entry,
    InvalidCursorError,
    Receipt,
    RecordingError,
    RunNotFoundError,
)
from app.recording.content import text_beginning
from app.recording.export import routing_csv
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.models import ModelRegistry
from app.settings import Settings, load_settings
from tests.integration.helpers import (
    ROOT,
    Environment,
    Folder,
    MakeEntry,
    ask,
    free_port,
    is_ready,
    until,
)

TEXT = "The river bank was closed, it's “Sunday”.\nSecond line 🙂"


def record(recorder: MlflowRecorder, entry: Entry) -> Receipt:
    receipt = recorder.receipt(recorder.submit(entry).id, 60)
    assert receipt.status == "recorded", receipt
    return receipt


def test_a_new_recorder_reads_back_an_equal_trace(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    entry = make_entry(TEXT)
    receipt = record(recorder, entry)
    recorder.close()
    after_restart = MlflowRecorder(settings)
    for id_ in (receipt.id, receipt.run_id):
        assert id_ is not None
        run = after_restart.load(id_)
        assert run.trace == entry.trace
        assert run.summary.run_id == receipt.run_id
        assert run.summary.status == "recorded"
        assert after_restart.receipt(id_) == receipt


def test_run_holds_parameters_metrics_tags_and_files(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    entry = make_entry(TEXT)
    receipt = record(recorder, entry)
    client = MlflowClient(settings.tracking_uri)
    run = client.get_run(receipt.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == text_beginning(TEXT)
    assert run.data.tags["moescope.link"] == f"/runs/{receipt.run_id}"
    assert run.data.tags["moescope.text"].startswith("The river bank")
    assert run.data.params["model_revision"] == entry.trace.model.revision
    for name in ("architecture", "libraries.torch", "tokenizer", "mode", "dtype", "max_tokens"):
        assert run.data.params[name]
    assert run.data.metrics["tokens"] == len(entry.trace.sequences["encoder"])
    for step, layer in enumerate(entry.trace.layers):
        for name in ("load_cv", "load_entropy", "active_experts", "confidence", "dropped"):
            history = client.get_metric_history(receipt.run_id, f"encoder/{name}")
            found = next(metric.value for metric in history if metric.step == step)
            assert found == pytest.approx(entry.metrics[layer.name][name])

    folder = Path(client.download_artifacts(receipt.run_id, ""))
    assert (folder / "routing.csv").read_text(encoding="utf-8") == routing_csv(entry.trace)
    assert (folder / "trace.npz").read_bytes() == entry.trace.to_bytes()
    for name, figure in entry.figures().items():
        written = json.loads((folder / f"figures/{name}.json").read_text(encoding="utf-8"))
        assert len(written["data"]) == len(figure["data"])
        assert "plotly" in (folder / f"figures/{name}.html").read_text(encoding="utf-8")


def test_files_stay_in_the_data_folder(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    record(recorder, make_entry("inside"))
    assert {path.name for path in settings.data_dir.iterdir()} == {
        "artifacts", "mlflow.db", "tmp",
    }  # fmt: skip
    assert not list((settings.data_dir / "tmp").iterdir())


def test_script_in_a_text_is_not_executable_in_the_recorded_pages(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    receipt = record(recorder, make_entry("</script><script>alert(1)</script>"))
    client = MlflowClient(settings.tracking_uri)
    folder = Path(client.download_artifacts(receipt.run_id, "figures"))
    for page in folder.glob("*.html"):
        assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_an_analysis_opens_from_its_acknowledgement_on(
    recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    entry = make_entry("opens at once")
    receipt = recorder.submit(entry)
    assert receipt.status == "pending"
    assert recorder.load(receipt.id).trace == entry.trace
    assert recorder.find(entry.key) is not None
    assert recorder.receipt(receipt.id, 60).status == "recorded"
    assert recorder.load(receipt.id).trace == entry.trace


def test_same_text_gives_the_same_run_unless_forced(analyst: Analyst) -> None:
    trace = analyst.trace("once and again")
    first = analyst.recorder.receipt(analyst.record(trace).id, 60)
    assert analyst.record(trace).run_id == first.run_id
    forced = analyst.recorder.receipt(analyst.record(trace, force=True).id, 60)
    assert forced.run_id not in (None, first.run_id)


def test_same_text_at_once_from_many_threads_gives_one_run(analyst: Analyst) -> None:
    trace = analyst.trace("all at once")
    start = threading.Barrier(8)

    def work(_: int) -> str | None:
        start.wait()
        return analyst.recorder.receipt(analyst.record(trace).id, 60).run_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 1


def test_same_text_after_a_restart_gives_the_same_run(
    settings: Settings, analyst: Analyst, registry: ModelRegistry
) -> None:
    trace = analyst.trace("before and after")
    first = analyst.recorder.receipt(analyst.record(trace).id, 60)
    analyst.recorder.close()
    again = Analyst(registry, MlflowRecorder(settings), 512)
    assert again.record(trace) == first


def test_a_deleted_run_is_recorded_anew_and_opens_no_more(
    settings: Settings, analyst: Analyst
) -> None:
    trace = analyst.trace("to be deleted")
    first = analyst.recorder.receipt(analyst.record(trace).id, 60)
    assert first.run_id is not None
    MlflowClient(settings.tracking_uri).delete_run(first.run_id)
    with pytest.raises(RunNotFoundError):
        analyst.recorder.load(first.run_id)
    second = analyst.recorder.receipt(analyst.record(trace).id, 60)
    assert second.run_id not in (None, first.run_id)


def test_many_threads_lose_nothing(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    entries = [make_entry(f"text number {number}") for number in range(30)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda entry: record(recorder, entry), entries))
    assert len({receipt.run_id for receipt in receipts}) == 30
    for entry, receipt in zip(entries, receipts, strict=True):
        assert recorder.load(receipt.id).trace.text == entry.trace.text


def test_close_writes_what_is_pending(settings: Settings, make_entry: MakeEntry) -> None:
    recorder = MlflowRecorder(settings)
    receipts = [recorder.submit(make_entry(f"pending {number}")) for number in range(5)]
    recorder.close()
    assert [recorder.receipt(r.id).status for r in receipts] == ["recorded"] * 5
    assert recorder.submit(make_entry("too late")).status == "failed"


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "0" * 32,
        "../../etc/passwd",
        "' or 1=1 --",
        "A" * 32,
        "x" * 1_000_000,
        "\ud800",
        "0" * 33,
    ],
    ids=range(8),
)
def test_unknown_and_malformed_ids_are_not_found(recorder: MlflowRecorder, id_: str) -> None:
    with pytest.raises(RunNotFoundError):
        recorder.load(id_)
    with pytest.raises(RunNotFoundError):
        recorder.receipt(id_)


def test_a_run_that_is_no_analysis_is_not_found(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    record(recorder, make_entry("an analysis"))
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("moescope")
    assert experiment is not None
    for where in (experiment.experiment_id, client.create_experiment("other")):
        foreign = client.create_run(where)
        client.set_terminated(foreign.info.run_id)
        with pytest.raises(RunNotFoundError):
            recorder.load(foreign.info.run_id)


def test_a_lost_trace_file_is_told_in_one_line(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    receipt = record(recorder, make_entry("lost"))
    for path in settings.data_dir.rglob("trace.npz"):
        path.write_bytes(b"not a trace")
    with pytest.raises(RecordingError, match="the run can't be read"):
        recorder.load(receipt.id)
    for path in settings.data_dir.rglob("trace.npz"):
        path.unlink()
    with pytest.raises(RecordingError, match=r"^can't read the run's files"):
        recorder.load(receipt.id)


def test_a_store_that_can_not_be_reached_fails_in_one_line(
    data_folder: Folder, make_entry: MakeEntry, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://user:secret@127.0.0.1:{free_port()}"
    recorder = MlflowRecorder(
        load_settings(MOESCOPE_DATA_DIR=data_folder(), MLFLOW_TRACKING_URI=address)
    )
    entry = make_entry("unreachable")
    assert recorder.find(entry.key) is None
    receipt = recorder.submit(entry)
    assert recorder.load(receipt.id).trace == entry.trace
    receipt = recorder.receipt(receipt.id, 60)
    assert receipt.status == "failed"
    assert "\n" not in receipt.detail
    assert "secret" not in receipt.detail
    with pytest.raises(RecordingError):
        recorder.history(1, None, None, None)
    recorder.close()


def test_files_that_can_not_be_written_fail_the_run(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    (settings.data_dir / "artifacts").write_text("in the way", encoding="utf-8")
    entry = make_entry("no room")
    receipt = recorder.receipt(recorder.submit(entry).id, 60)
    assert receipt.status == "failed"
    assert "\n" not in receipt.detail
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("moescope")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]
    assert recorder.find(entry.key) is None
    assert recorder.history(10, None, None, None) == ([], None)

    (settings.data_dir / "artifacts").unlink()
    assert recorder.receipt(recorder.submit(entry).id, 60).status == "recorded"


def test_a_deleted_experiment_is_named(settings: Settings, make_entry: MakeEntry) -> None:
    client = MlflowClient(settings.tracking_uri)
    client.delete_experiment(client.create_experiment("moescope"))
    recorder = MlflowRecorder(settings)
    receipt = recorder.receipt(recorder.submit(make_entry("x")).id, 60)
    assert receipt.detail.startswith("MLflow's experiment «moescope» is deleted")
    recorder.close()


def test_history_is_newest_first_in_pages(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    for number in range(5):
        record(recorder, make_entry(f"line {number}"))
    seen, cursor = [], None
    for _ in range(3):
        page, cursor = recorder.history(2, cursor, None, None)
        seen += [run.text for run in page]
    assert seen == [f"line {number}" for number in (4, 3, 2, 1, 0)]
    assert cursor is None
    for bad in ("x", "eyJvZmZzZXQiOiAiYSJ9", "\x00", "🙂"):
        with pytest.raises(InvalidCursorError):
            recorder.history(2, bad, None, None)


@pytest.mark.parametrize(
    ("query", "found"),
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
    recorder: MlflowRecorder, make_entry: MakeEntry, query: str, found: int
) -> None:
    record(recorder, make_entry('The river: it\'s "quoted" 100% 日本 two\nlines'))
    assert len(recorder.history(10, None, None, query)[0]) == found


def test_history_of_one_model(recorder: MlflowRecorder, make_entry: MakeEntry) -> None:
    entry = make_entry("of a model")
    record(recorder, entry)
    name = entry.trace.model.id
    assert len(recorder.history(10, None, name, None)[0]) == 1
    for other in (name[:-1], name.upper(), "' or '1'='1", "%", "_" * len(name)):
        assert recorder.history(10, None, other, None) == ([], None) or (
            recorder.history(10, None, other, None)[0] == []
        )


def test_text_beginning_is_one_short_line() -> None:
    assert text_beginning("a\n\tb\x00c\x1b[31m") == "a b c [31m"
    assert text_beginning("\x00\u202e") == "(nothing printable)"
    assert len(text_beginning("x" * 5000)) == 250


def test_what_was_recorded_survives_kill_9(
    data_folder: Folder, environment: Environment, make_entry: MakeEntry
) -> None:
    folder, port = data_folder(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=environment(MOESCOPE_DATA_DIR=folder, MOESCOPE_PORT=port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    kept: list[str] = []
    try:
        until(lambda: is_ready(address))
        for number in range(3):
            answer = ask(f"{address}/api/v1/analyses", {"text": f"kept {number}"})
            assert answer.json()["status"] == "recorded"
            kept.append(answer.json()["run_id"])
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    recorder = MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=folder))
    for number, run_id in enumerate(kept):
        assert recorder.load(run_id).trace == make_entry(f"kept {number}").trace


def test_log_lines_hide_passwords_in_addresses() -> None:
    from app.logs import RedactingFormatter

    record = logging.makeLogRecord({"msg": "no answer from postgresql://me:secret@db/x"})
    assert RedactingFormatter().format(record) == "no answer from postgresql://***@db/x"
