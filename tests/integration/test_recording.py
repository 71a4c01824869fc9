"""Recording to a real MLflow store on sqlite, and reading back."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from app.analysis import Analyst, analysis_key, figures_of
from app.recording.base import (
    Entry,
    Receipt,
    RecordingError,
    RunNotFoundError,
    StoreDownError,
)
from app.recording.content import text_beginning
from app.recording.export import analysis_json, routing_csv
from app.recording.measures import measure
from app.recording.mlflow_recorder import MlflowRecorder
from app.recording.report import report
from app.recording.tracking import open_client
from app.routing.capture import capture
from app.routing.models import ModelRegistry
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from app.settings import Settings, load_settings
from tests.forked import CONTEXT, Forked
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
from tests.s3 import S3Server

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
    after_restart = MlflowRecorder(settings, figures_of)
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
    assert run.data.metrics["encoder/tokens"] == run.data.metrics["tokens"]
    assert run.data.tags["moescope.mode"] == run.data.params["mode"] == "encoder"
    assert run.data.tags["moescope.stacks"] == "encoder"
    measures = measure(entry.trace)
    for step, layer in enumerate(entry.trace.layers):
        for name in ("load_cv", "load_entropy", "active_experts", "confidence", "dropped"):
            history = client.get_metric_history(receipt.run_id, f"encoder/{name}")
            found = next(metric.value for metric in history if metric.step == step)
            assert found == pytest.approx(measures.layers[layer.name][name])

    folder = Path(client.download_artifacts(receipt.run_id, ""))
    assert (folder / "routing.csv").read_text(encoding="utf-8") == routing_csv(entry.trace)
    assert (folder / "trace.npz").read_bytes() == entry.trace.to_bytes()
    written = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report(entry.trace, measures)))
    for name, figure in figures_of(entry.trace).items():
        written = json.loads((folder / f"figures/{name}.json").read_text(encoding="utf-8"))
        assert len(written["data"]) == len(figure["data"])
        assert "plotly" in (folder / f"figures/{name}.html").read_text(encoding="utf-8")
    files = [path for path in folder.rglob("*") if path.is_file()]
    sums = dict(reversed(line.split("  ")) for line in _lines(folder / "SHA256SUMS"))
    assert {str(path.relative_to(folder)) for path in files} == {*sums, "SHA256SUMS"}
    for name, sum_ in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sum_
    assert run.data.tags["moescope.bytes"] == str(sum(path.stat().st_size for path in files))
    (used,) = run.inputs.dataset_inputs
    assert hashlib.sha256(TEXT.encode()).hexdigest().startswith(used.dataset.digest)
    assert (folder / "text.txt").read_bytes().decode() == TEXT


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_run_of_both_stacks_holds_settings_and_measures_of_each(
    settings: Settings, analyst: Analyst
) -> None:
    task = Task("The <extra_id_0>.", generation=Generation(4, True, 0.5, 0.9, 7), capacity=1)
    trace = analyst.trace(task)
    receipt = analyst.record(trace, wait=60)
    run = MlflowClient(settings.tracking_uri).get_run(receipt.run_id)
    expected = {
        "mode": "generated",
        "score_function": "softmax",
        "selection": "top-k",
        "capacity": "1",
        "generate.max_new_tokens": "4",
        "generate.do_sample": "true",
        "generate.temperature": "0.5",
        "generate.top_p": "0.9",
        "generate.seed": "7",
        "output_characters": str(len(trace.output or "")),
    }
    assert expected.items() <= run.data.params.items()
    assert run.data.tags["moescope.mode"] == "generated"
    assert run.data.tags["moescope.stacks"] == "encoder,decoder"
    found = run.data.metrics
    for stack, sequence in trace.sequences.items():
        assert found[f"{stack}/tokens"] == len(sequence)
        lost = sum(int(layer.dropped.sum()) for layer in trace.stack_layers(stack))
        assert found[f"{stack}/dropped_total"] == lost
        paths = measure(trace).paths[stack]
        assert found[f"{stack}/paths_distinct"] == paths.distinct
        assert found[f"{stack}/paths_entropy_bits"] == pytest.approx(paths.entropy_bits)
        assert found[f"{stack}/paths_coverage_top1"] == pytest.approx(paths.coverage[0])
        assert f"{stack}/saturation" in found
    assert found["dropped_total"] == sum(found[f"{s}/dropped_total"] for s in trace.stacks)
    assert analyst.recorded(receipt.id).trace == trace


def test_a_target_is_kept_in_the_trace_and_told_by_its_hash(
    settings: Settings, analyst: Analyst
) -> None:
    trace = analyst.trace(Task("The <extra_id_0>.", target="🙂 target " * 40))
    receipt = analyst.record(trace, wait=60)
    run = MlflowClient(settings.tracking_uri).get_run(receipt.run_id)
    assert run.data.params["target_characters"] == str(len(trace.target or ""))
    assert len(run.data.params["target_sha256"]) == 64
    assert not any("target 🙂" in value for value in run.data.params.values())
    assert analyst.recorded(receipt.id).trace.target == trace.target


def test_other_settings_have_other_keys(analyst: Analyst) -> None:
    sampled = [Generation(3, True, *rest) for rest in ((), (0.5,), (1.0, 0.5), (1.0, 1.0, 1))]
    tasks = [
        Task("text"),
        Task("text."),
        Task("text", capacity=1),
        Task("text", target="a"),
        Task("text", target="b"),
        Task("text", target="a", capacity=1),
        *(Task("text", generation=each) for each in (Generation(2), Generation(3), *sampled)),
        Task("text", generation=Generation(2), capacity=1),
    ]
    keys = [analysis_key(analyst.trace(task)) for task in tasks]
    assert len(set(keys)) == len(tasks)
    anew = Analyst(analyst.registry, analyst.recorder, 512)
    assert [analysis_key(anew.trace(task)) for task in tasks] == keys


def test_where_a_generation_was_stopped_makes_another_analysis(registry: ModelRegistry) -> None:
    task = Task("The river <extra_id_0> was closed.", generation=Generation(3))
    loaded = registry.get(registry.default)

    def stopped_at(tokens: int) -> RoutingTrace:
        return capture(loaded, task, 512, lambda t: len(t.sequences["decoder"]) >= tokens)

    traces = [stopped_at(2), stopped_at(3), capture(loaded, task, 512)]
    assert ["stopped" in trace.provenance for trace in traces] == [True, True, False]
    assert len({analysis_key(trace) for trace in traces}) == 3
    assert analysis_key(stopped_at(2)) == analysis_key(traces[0])


def test_a_run_of_the_version_before_opens(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    receipt = record(recorder, make_entry("The river bank was closed."))
    assert receipt.run_id is not None
    recorder.close()
    # It had neither these tags nor this file, and another format of the trace.
    client = MlflowClient(settings.tracking_uri)
    for tag in ("moescope.mode", "moescope.stacks"):
        client.delete_tag(receipt.run_id, tag)
    (file,) = settings.data_dir.rglob("trace.npz")
    file.write_bytes((ROOT / "tests/data/trace-format-1.npz").read_bytes())
    (file.parent / "metrics.json").unlink()
    run = MlflowRecorder(settings, figures_of).load(receipt.run_id)
    assert run.trace.provenance["mode"] == "encoder"
    assert run.summary.text == run.trace.text == "The river bank was closed."
    assert analysis_json(run.trace)["generated"] == [False] * run.summary.tokens
    assert routing_csv(run.trace).count("\n") == 1 + len(run.trace.layers) * 8 * run.summary.tokens


def test_files_stay_in_the_data_folder(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    record(recorder, make_entry("inside"))
    assert {path.name for path in settings.data_dir.iterdir()} == {
        "artifacts", "mlflow.db", "mlflow.db.lock", "outbox.db", "outbox.db-shm",
        "outbox.db-wal", "outbox.lock", "tmp",
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
    assert recorder.submit(entry) == receipt
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
    again = Analyst(registry, MlflowRecorder(settings, figures_of), 512)
    assert again.record(trace, wait=60) == first
    again.recorder.close()


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
    recorder = MlflowRecorder(settings, figures_of)
    receipts = [recorder.submit(make_entry(f"pending {number}")) for number in range(5)]
    recorder.close()
    assert [recorder.receipt(r.id).status for r in receipts] == ["recorded"] * 5
    late = recorder.submit(make_entry("too late"))
    assert late.status == "pending"
    after_restart = MlflowRecorder(settings, figures_of)
    after_restart.start()
    until(lambda: after_restart.receipt(late.id).status == "recorded")
    after_restart.close()


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
    recorder.close()
    # Nor is it kept on the local disk any more.
    for path in settings.data_dir.glob("outbox.*"):
        path.unlink()
    for path in settings.data_dir.rglob("trace.npz"):
        path.write_bytes(b"not a trace")
    with pytest.raises(RecordingError, match="the run can't be read"):
        recorder.load(receipt.id)
    for path in settings.data_dir.rglob("trace.npz"):
        path.unlink()
    with pytest.raises(RecordingError, match="its trace file is gone"):
        recorder.load(receipt.id)


def test_while_the_store_can_not_be_reached_an_analysis_waits_and_says_why(
    data_folder: Folder, make_entry: MakeEntry
) -> None:
    address = f"http://user:secret@127.0.0.1:{free_port()}"
    recorder = MlflowRecorder(
        load_settings(MOESCOPE_DATA_DIR=data_folder(), MLFLOW_TRACKING_URI=address), figures_of
    )
    entry = make_entry("unreachable")
    receipt = recorder.receipt(recorder.submit(entry).id, 60)
    assert receipt.status == "pending"
    assert receipt.detail == f"MLflow at {address.replace('user:secret@', '')} does not answer"
    assert recorder.load(receipt.id).trace == entry.trace
    page = recorder.history(10)
    assert [run.run_id for run in page.runs] == [receipt.id]
    assert page.notice.endswith(receipt.detail)
    state = recorder.state()
    assert (state.pending, state.failed, state.down) == (1, 0, receipt.detail)
    with pytest.raises(StoreDownError):
        recorder.load("0" * 32)
    recorder.close()


def test_files_that_can_not_be_written_make_it_wait(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    (settings.data_dir / "artifacts").write_text("in the way", encoding="utf-8")
    entry = make_entry("no room")
    receipt = recorder.receipt(recorder.submit(entry).id, 60)
    assert receipt.status == "pending"
    assert receipt.detail.startswith("the run's files can't be written: ")
    assert "\n" not in receipt.detail

    (settings.data_dir / "artifacts").unlink()
    recorder.retry()
    until(lambda: recorder.receipt(receipt.id).status == "recorded")
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name("moescope")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_a_deleted_experiment_is_named(settings: Settings, make_entry: MakeEntry) -> None:
    client = MlflowClient(settings.tracking_uri)
    client.delete_experiment(client.create_experiment("moescope"))
    recorder = MlflowRecorder(settings, figures_of)
    receipt = recorder.receipt(recorder.submit(make_entry("x")).id, 60)
    assert receipt.status == "pending"
    assert receipt.detail.startswith("MLflow's experiment «moescope» is deleted")
    recorder.close()


def test_text_beginning_is_one_short_line() -> None:
    assert text_beginning("a\n\tb\x00c\x1b[31m") == "a b c [31m"
    assert text_beginning("\x00\u202e") == "(nothing printable)"
    assert len(text_beginning("x" * 5000)) == 250


def test_what_was_recorded_survives_kill_9(
    data_folder: Folder, environment: Environment, make_entry: MakeEntry, tmp_path: Path
) -> None:
    folder, port = data_folder(), free_port()
    log, settings = tmp_path / "log", environment(MOESCOPE_DATA_DIR=folder, MOESCOPE_PORT=port)
    process = Forked([], settings, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    kept: list[str] = []
    try:
        until(lambda: is_ready(address))
        for number in range(3):
            answer = ask(f"{address}/api/v1/analyses", {"text": f"kept {number}"})
            kept.append(answer.json()["run_id"])
        until(lambda: ask(f"{address}/api/v1/store").json()["pending"] == 0)
    finally:
        process.kill()
        process.wait()
    recorder = MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=folder), figures_of)
    for number, run_id in enumerate(kept):
        assert recorder.load(run_id).trace == make_entry(f"kept {number}").trace


def test_mlflow_sends_no_telemetry() -> None:
    asked = (
        "import app.recording; from mlflow.telemetry.utils import is_telemetry_disabled; "
        "print(is_telemetry_disabled())"
    )
    said = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (said.stdout, said.stderr) == ("True\n", "")


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    processes = [CONTEXT.Process(target=open_client, args=(uri,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_log_lines_hide_passwords_in_addresses() -> None:
    from app.logs import RedactingFormatter

    record = logging.makeLogRecord({"msg": "no answer from postgresql://me:secret@db/x"})
    assert RedactingFormatter().format(record) == "no answer from postgresql://***@db/x"


def test_with_another_place_for_files_old_runs_are_read_as_ever(
    settings: Settings, s3: S3Server, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    before = record(recorder, make_entry("on the disk"))
    recorder.close()
    with_bucket = load_settings(MOESCOPE_DATA_DIR=settings.data_dir, **s3.settings("moved-here"))
    moved = MlflowRecorder(with_bucket, figures_of)
    after = record(moved, make_entry("in the bucket"))
    again = record(moved, make_entry("on the disk"))
    assert again.run_id == before.run_id
    assert [run.text for run in moved.history(10).runs] == ["in the bucket", "on the disk"]
    names = [each.object_name for each in s3.client.list_objects("moved-here", recursive=True)]
    assert any(f"{after.run_id}/artifacts/routing.csv" in str(name) for name in names)
    assert not any(str(before.run_id) in str(name) for name in names)
    with moved.file(before.id, "routing.csv") as path:
        assert path.read_text(encoding="utf-8") == routing_csv(make_entry("on the disk").trace)
    moved.close()


def test_one_of_several_processes_writes_and_another_takes_over(
    settings: Settings, recorder: MlflowRecorder, make_entry: MakeEntry
) -> None:
    record(recorder, make_entry("the first one writes"))
    other = MlflowRecorder(settings, figures_of)
    other.start()
    receipt = record(other, make_entry("accepted by the second, written by the first"))
    assert recorder.receipt(receipt.id) == receipt
    recorder.close()
    record(other, make_entry("the second took over"))
    other.close()
    found = MlflowRecorder(settings, figures_of).history(10).runs
    assert [run.status for run in found] == ["recorded"] * 3
