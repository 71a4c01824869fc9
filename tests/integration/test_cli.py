"""The command line, as a real process."""

from __future__ import annotations

import csv
import io
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.analysis import figures_of
from app.recording.mlflow_recorder import MlflowRecorder
from app.settings import load_settings
from tests.integration.helpers import (
    ROOT,
    Command,
    Environment,
    Folder,
    MakeEntry,
    ask,
    free_port,
    is_ready,
    until,
)

TEXT = "The river bank was closed on Sunday."


def fails_in_one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("moescope: ")
    return result.stderr


def test_analyze_prints_the_table_then_run_and_link(
    command: Command, forked: Command, data_folder: Folder, tmp_path: Path
) -> None:
    csv_file, json_file, folder = tmp_path / "routing.csv", tmp_path / "a.json", data_folder()
    arguments = ("analyze", TEXT, "--csv", str(csv_file), "--json", str(json_file))
    result = command(*arguments, settings={"MOESCOPE_DATA_DIR": folder})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    *table, mode, model, run, link = result.stdout.splitlines()
    body = json.loads(json_file.read_text(encoding="utf-8"))
    assert mode == "mode encoder"
    assert model == f"model switch-mini-8 {body['model']['revision']}"
    assert run == f"run {body['run_id']}"
    assert link == body["url"] == f"http://127.0.0.1:8050/runs/{body['run_id']}"
    assert body["status"] == "recorded"
    assert len(table) == 1 + len(body["tokens"])
    for index, line in enumerate(table[1:]):
        experts = [str(layer[index][0]) for layer in body["experts"]]
        assert line.split()[-len(experts) :] == experts
    rows = list(csv.DictReader(io.StringIO(csv_file.read_text(encoding="utf-8"), newline="")))
    assert len(rows) == len(body["tokens"]) * sum(layer["num_experts"] for layer in body["layers"])

    with closing(recorder_of(folder)) as recorder:
        assert recorder.load(body["run_id"]).trace.text == TEXT

    # The same text again, from standard input and at another address: the same run.
    settings = {"MOESCOPE_DATA_DIR": folder, "MOESCOPE_HOST": "::1", "MOESCOPE_PORT": 9000}
    given = tmp_path / "given"
    given.write_text(TEXT + "\n", encoding="utf-8")
    again = forked("analyze", "-", stdin=given, settings=settings)
    *_, run, link = again.stdout.splitlines()
    assert run == f"run {body['run_id']}"
    assert link == f"http://[::1]:9000/runs/{body['run_id']}"


def test_no_record_leaves_nothing_and_drops_are_marked(
    forked: Command, tmp_path: Path, tiny_switch: Callable[..., Path]
) -> None:
    model, data = tiny_switch(expert_capacity=1), tmp_path / "data"
    settings = {"MOESCOPE_DATA_DIR": data, "MOESCOPE_MODEL": f"tiny={model}"}
    result = forked("analyze", "aaaaaa", "--no-record", settings=settings)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "×" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("model tiny ")
    # Of the analysis nothing; what was found out about the model is kept for the next start.
    assert sorted(path.name for path in data.iterdir()) == ["models", "moescope.log"]


def test_a_generation_is_shown_with_its_text(
    forked: Command, data_folder: Folder, tmp_path: Path
) -> None:
    json_file, folder = tmp_path / "a.json", data_folder()
    text = "The river <extra_id_0> was closed."
    arguments = ["analyze", text, "--json", str(json_file), "--generate", "6", "--sample"]
    arguments += ["--temperature", "0.8", "--top-p", "0.9", "--seed", "4", "--capacity", "7"]
    result = forked(*arguments, settings={"MOESCOPE_DATA_DIR": folder})
    assert result.returncode == 0, result.stderr
    body = json.loads(json_file.read_text(encoding="utf-8"))
    assert {layer["capacity"] for layer in body["layers"] if layer["stack"] == "encoder"} == {7}
    assert body["generate"] == {
        "max_new_tokens": 6, "do_sample": True, "temperature": 0.8, "top_p": 0.9, "seed": 4,
    }  # fmt: skip
    encoder, decoder = result.stdout.split("\n\n")
    assert len(encoder.splitlines()) == 1 + len(body["tokens"]["encoder"])
    head, *table = decoder.splitlines()[:-5]
    assert "decoder token" in head
    shown = [line.split()[1] for line in table]
    marks = ["+" if made else "" for made in body["generated"]["decoder"]]
    assert shown == [m + t for m, t in zip(marks, body["tokens"]["decoder"], strict=True)]
    assert decoder.splitlines()[-5:-3] == ["mode generated", f"output {body['output']}".rstrip()]
    # The same again is the same run, as recorded by the API's name for it.
    again = forked(*arguments, settings={"MOESCOPE_DATA_DIR": folder})
    assert again.stdout == result.stdout


def test_a_target_shows_both_stacks(forked: Command) -> None:
    result = forked("analyze", "The river <extra_id_0>.", "--target", "a bank", "--no-record")
    assert result.returncode == 0, result.stderr
    assert "encoder token" in result.stdout
    assert "decoder token" in result.stdout
    assert "+" not in result.stdout
    assert result.stdout.splitlines()[-2] == "mode teacher-forced"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--generate", "0"], "max_new_tokens must be from 1 to 512, not 0"),
        (["--generate", "-5"], "max_new_tokens"),
        (["--generate", "1" + "0" * 30], "max_new_tokens"),
        (["--generate", "five"], "--generate"),
        (["--generate"], "--generate"),
        (["--generate", "5", "--target", "a"], "not both"),
        (["--target", " "], "the target text is blank"),
        (["--target", "word " * 600], "the target text has"),
        (["--sample"], "--sample needs --generate"),
        (["--generate", "5", "--top-p", "0.5"], "--top-p needs --sample"),
        (["--seed", "1"], "--seed needs --sample"),
        (["--generate", "5", "--sample", "--temperature", "0"], "temperature"),
        (["--generate", "5", "--sample", "--temperature", "nan"], "temperature"),
        (["--generate", "5", "--sample", "--top-p", "2"], "top_p"),
        (["--generate", "5", "--sample", "--seed", "-1"], "seed"),
        (["--capacity", "0"], "capacity"),
        (["--capacity", "2.5"], "--capacity"),
    ],
    ids=range(17),
)
def test_wrong_settings_of_a_task_are_named(
    forked: Command, arguments: list[str], reason: str
) -> None:
    assert reason in fails_in_one_line(forked("analyze", "ok", *arguments), 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "  \n "],
        ["analyze", "word " * 1000],
        ["analyze", b"half \xed\xa0\x80"],
        ["analyze", "ok", "--model", "no-such-model"],
        ["analyze", "ok", "--csv", "/no/such/folder/x.csv"],
        ["analyze", "ok", "--json", "/"],
        ["analyze"],
        ["analyze", "a", "b"],
        ["analyze", "ok", "--nonsense"],
        ["nonsense"],
    ],
    ids=range(10),
)
def test_wrong_input_ends_with_2_and_one_line(forked: Command, arguments: list[str]) -> None:
    fails_in_one_line(forked(*arguments), 2)


def test_standard_input_that_is_not_utf8_ends_with_2(command: Command) -> None:
    result = command("analyze", "-", input=b"\xff", text=False)
    assert result.returncode == 2
    assert result.stderr == b"moescope: standard input is not valid UTF-8\n"


@pytest.mark.parametrize(
    ("name", "value"), [("MOESCOPE_PORT", "x"), ("MOESCOPE_MODELS", "a=b"), ("MOESCOPE_DTYPE", "?")]
)
@pytest.mark.parametrize("arguments", [(), ("analyze", "ok")])
def test_a_wrong_setting_is_named(
    command: Command, arguments: tuple[str, ...], name: str, value: str
) -> None:
    assert name in fails_in_one_line(command(*arguments, settings={name: value}), 2)


def test_a_model_that_can_not_be_loaded_ends_with_1(forked: Command, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    settings = {"MOESCOPE_MODEL": f"broken={tmp_path}"}
    assert "moescope.log" in fails_in_one_line(forked("analyze", "ok", settings=settings), 1)


def test_a_store_that_is_down_keeps_the_analysis_for_later(forked: Command, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    settings = {"MOESCOPE_DATA_DIR": tmp_path}
    json_file = tmp_path / "a.json"
    result = forked("analyze", TEXT, "--json", str(json_file), settings=settings)
    assert result.returncode == 0, result.stderr
    body = json.loads(json_file.read_text(encoding="utf-8"))
    assert body["status"] == "pending"
    *_, run, link = result.stdout.splitlines()
    assert run == f"run {body['run_id']}"
    assert link == body["url"] == f"http://127.0.0.1:8050/runs/{body['run_id']}"
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("moescope: kept, not yet in MLflow: MLflow's database can't")
    assert result.stderr.endswith("; it goes there when the app runs again\n")

    # Once the store is there, the same text is the same analysis, and it is recorded.
    (tmp_path / "mlflow.db").rmdir()
    again = forked("analyze", TEXT, settings=settings)
    assert (again.returncode, again.stderr) == (0, "")
    with closing(recorder_of(tmp_path)) as recorder:
        run_id = again.stdout.splitlines()[-2].removeprefix("run ")
        assert recorder.receipt(body["run_id"]).run_id == run_id
        assert recorder.load(body["run_id"]).trace.text == TEXT


def test_a_disk_that_takes_nothing_ends_with_1_and_shows_the_analysis(
    forked: Command, tmp_path: Path
) -> None:
    (tmp_path / "outbox.db").mkdir()
    result = forked("analyze", "ok", settings={"MOESCOPE_DATA_DIR": tmp_path})
    assert result.returncode == 1
    assert result.stdout.startswith("#")
    assert "run " not in result.stdout
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("moescope: not recorded: can't keep it in outbox.db")
    assert "moescope.log" in result.stderr


def test_a_base_path_is_in_the_link(forked: Command) -> None:
    result = forked("analyze", "ok", settings={"MOESCOPE_BASE_PATH": "/scope"})
    assert result.stdout.splitlines()[-1].startswith("http://127.0.0.1:8050/scope/runs/")


def recorder_of(folder: Path) -> MlflowRecorder:
    return MlflowRecorder(load_settings(MOESCOPE_DATA_DIR=folder), figures_of)


@pytest.fixture
def aged(data_folder: Folder, make_entry: MakeEntry) -> tuple[Path, list[str]]:
    """A data folder with runs of ten, six, two and no days ago, and their ids in that order."""
    folder, ids = data_folder(), []
    with closing(recorder_of(folder)) as recorder:
        for days in (10, 6, 2, 0):
            receipt = recorder.submit(make_entry(f"It was {days} days ago."))
            ids.append(str(recorder.receipt(receipt.id, 60).run_id))
    now = time.time()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for run_id, days in zip(ids, (10, 6, 2, 0), strict=True):
            when = int((now - days * 86_400) * 1000)
            database.execute("update runs set start_time = ? where run_uuid = ?", (when, run_id))
    return folder, ids


def left_in(folder: Path) -> list[str]:
    with closing(recorder_of(folder)) as recorder:
        return [run.run_id for run in reversed(recorder.history(50).runs)]


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (["--older-than", "5"], 2),
        (["--keep", "1"], 3),
        (["--keep", "3", "--older-than", "1"], 1),
        (["--keep", "1", "--older-than", "9.5"], 1),
        (["--keep", "0"], 4),
    ],
)
def test_runs_are_deleted_by_age_and_count(
    forked: Command, aged: tuple[Path, list[str]], arguments: list[str], gone: int
) -> None:
    folder, ids = aged
    settings = {"MOESCOPE_DATA_DIR": folder}
    result = forked("runs", "delete", *arguments, "--yes", settings=settings)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"to delete: {gone} of 4 runs, recorded from ")
    assert result.stdout.endswith(f"\ndeleted: {gone} run{'s' if gone > 1 else ''}\n")
    assert left_in(folder) == ids[gone:]
    files = {path.name for path in (folder / "artifacts").iterdir() if any(path.rglob("*.csv"))}
    assert files == set(ids[gone:])


def test_nothing_old_enough_deletes_nothing(forked: Command, aged: tuple[Path, list[str]]) -> None:
    folder, ids = aged
    for arguments in (["--older-than", "30"], ["--keep", "4"], ["--older-than", "1e300"]):
        result = forked(
            "runs", "delete", *arguments, "--yes", settings={"MOESCOPE_DATA_DIR": folder}
        )
        assert (result.returncode, result.stdout) == (0, "nothing to delete: 4 runs recorded\n")
    # Nobody is there to be asked.
    result = forked("runs", "delete", "--keep", "0", settings={"MOESCOPE_DATA_DIR": folder})
    assert "--yes" in fails_in_one_line(result, 2)
    assert left_in(folder) == ids


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["delete"],
        ["delete", "--yes"],
        ["delete", "--keep", "-1"],
        ["delete", "--keep", "some"],
        ["delete", "--older-than", "-1"],
        ["delete", "--older-than", "nan"],
        ["delete", "--older-than", "a week"],
    ],
    ids=range(8),
)
def test_wrong_conditions_of_a_deletion(command: Command, arguments: list[str]) -> None:
    fails_in_one_line(command("runs", *arguments), 2)


def test_runs_of_a_store_that_is_down_are_not_deleted(
    forked: Command, aged: tuple[Path, list[str]]
) -> None:
    folder, ids = aged
    where = f"http://127.0.0.1:{free_port()}"
    settings = {"MOESCOPE_DATA_DIR": folder, "MLFLOW_TRACKING_URI": where}
    result = forked("runs", "delete", "--keep", "0", "--yes", settings=settings)
    line = fails_in_one_line(result, 1)
    assert "not all runs can be listed, so none is deleted" in line
    assert f"MLflow at {where} does not answer" in line
    assert left_in(folder) == ids


def test_a_port_in_use_ends_with_1(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails_in_one_line(command(settings={"MOESCOPE_PORT": port}), 1)
    assert f"127.0.0.1:{port}" in line


def test_help(command: Command) -> None:
    result = command("--help")
    assert result.returncode == 0
    assert all(verb in result.stdout for verb in ("analyze", "bucket", "runs"))


def test_the_production_line_serves_and_stops_cleanly(
    data_folder: Folder, environment: Environment
) -> None:
    folder, port = data_folder(), free_port()
    line = f"-k uvicorn_worker.UvicornWorker -w 1 -b 127.0.0.1:{port} --no-control-socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "app.server:server", *line.split()],
        cwd=ROOT,
        env=environment(MOESCOPE_DATA_DIR=folder),
        stderr=subprocess.PIPE,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_ready(address))
        answer = ask(f"{address}/api/v1/analyses", {"text": TEXT})
        assert answer.json()["status"] == "recorded"
        assert ask(address).status == 200
    finally:
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in log
    assert b"Application shutdown complete" in log
