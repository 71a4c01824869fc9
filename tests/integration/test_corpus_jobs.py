"""Corpora handed in through the API, and the passes over them in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.corpus.library import Library
from app.corpus.uploads import safe_name
from app.server import build
from app.settings import load_settings
from tests.integration.helpers import (
    ROOT,
    Answer,
    Environment,
    Folder,
    ask,
    is_ready,
    serving,
    until,
)

FEW = 60
MANY = 800


def rows(count: int) -> bytes:
    lines = [
        {"text": f"Number {n} is {'even' if n % 2 == 0 else 'odd'}, {n} + 1 = {n + 1}. " * 4,
         "parity": "even" if n % 2 == 0 else "odd"}
        for n in range(count)
    ]  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture(scope="module")
def folder(data_folder: Folder) -> Path:
    return data_folder()


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[str]:
    """A server whose limit for uploads is 2 MB."""
    settings = load_settings(MOESCOPE_DATA_DIR=folder, MOESCOPE_UPLOAD_MB=2)
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        yield f"{address}/api/v1"


def hand_in(api: str, content: bytes, name: str = "some.jsonl") -> Answer:
    return ask(
        f"{api}/uploads?name={name}", content, **{"content-type": "application/octet-stream"}
    )


def begin(api: str, content: bytes, **asked: Any) -> dict[str, Any]:
    upload = hand_in(api, content).json()["id"]
    answer = ask(f"{api}/corpora", {"upload": upload, "max_tokens": 128, **asked})
    assert answer.status == 202, answer.body
    found: dict[str, Any] = answer.json()
    return found


def status(api: str, id_: str) -> dict[str, Any]:
    (found,) = [one for one in ask(f"{api}/corpora").json()["corpora"] if one["id"] == id_]
    assert isinstance(found, dict)
    return found


def process_of(id_: str) -> int:
    """The process that works on a pass."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        if f"--job\0{id_}".encode() in line.read_bytes():
            return int(line.parent.name)
    raise AssertionError("no process works on the pass")


def test_a_corpus_is_handed_in_counted_recorded_and_removed(api: str, folder: Path) -> None:
    described = hand_in(api, rows(FEW), "../my%20rows.jsonl").json()
    assert (described["name"], described["format"]) == ("my rows.jsonl", "jsonl")
    assert (described["text"], described["labels"]) == ("text", ["parity"])
    assert len(described["preview"]) == 10
    asked = {"upload": described["id"], "max_tokens": 128, "name": "parities"}
    first = ask(f"{api}/corpora", asked)
    assert first.status == 202
    id_ = first.json()["id"]
    until(lambda: status(api, id_)["status"] == "recorded", 120)
    done = status(api, id_)
    assert (done["name"], done["documents"], done["labels"]) == ("parities", FEW, ["parity"])
    assert done["done"] == done["size"] == len(rows(FEW))
    counts = Library(folder).counts(id_)
    assert counts.tokens == done["tokens"]
    again = ask(f"{api}/corpora", asked)
    assert (again.status, again.json()["run_id"]) == (200, done["run_id"])
    assert ask(f"{api}/runs/{done['run_id']}", method="DELETE").status == 202
    assert ask(f"{api}/corpora", asked).status == 200
    until(lambda: status(api, id_)["run_id"] not in (None, done["run_id"]), 120)
    assert status(api, id_)["status"] == "recorded"
    file = folder / "uploads" / described["id"] / "my rows.jsonl"
    assert file.exists()
    assert ask(f"{api}/corpora/{id_}", method="DELETE").status == 204
    assert not file.exists()
    assert ask(f"{api}/corpora/{id_}/pause", method="POST").status == 404


def test_a_pass_pauses_and_goes_on(api: str, folder: Path) -> None:
    id_ = begin(api, rows(MANY))["id"]
    until(lambda: status(api, id_)["documents"] > 0, 120)
    assert ask(f"{api}/corpora/{id_}/pause", method="POST").json()["status"] in (
        "pausing",
        "paused",
    )
    until(lambda: status(api, id_)["status"] == "paused", 60)
    before = Library(folder).counts(id_).documents
    assert 0 < before < MANY
    second = begin(api, rows(FEW), name="behind it")["id"]
    until(lambda: status(api, second)["status"] == "recorded", 120)
    assert status(api, id_)["status"] == "paused"
    assert ask(f"{api}/corpora/{id_}/resume", method="POST").json()["status"] == "waiting"
    until(lambda: status(api, id_)["status"] == "recorded", 240)
    assert Library(folder).counts(id_).documents == MANY


def test_a_killed_process_is_told_and_can_go_on(api: str) -> None:
    id_ = begin(api, rows(MANY), name="killed")["id"]
    until(lambda: status(api, id_)["documents"] > 0, 120)
    os.kill(process_of(id_), signal.SIGKILL)
    until(lambda: status(api, id_)["status"] == "failed", 30)
    assert "signal 9" in status(api, id_)["detail"]
    assert ask(f"{api}/corpora/{id_}/resume", method="POST").status == 200
    until(lambda: status(api, id_)["status"] == "running", 60)
    assert ask(f"{api}/corpora/{id_}", method="DELETE").status == 204


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 422, "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 422, "PNG"),
        (b"a" * 2_100_000, 413, "2 MB"),
    ],
)
def test_what_is_no_corpus_leaves_nothing(
    api: str, folder: Path, content: bytes, code: int, said: str
) -> None:
    before = sorted((folder / "uploads").glob("*"))
    answer = hand_in(api, content, "some.csv")
    assert (answer.status, answer.headers["content-type"]) == (code, "application/problem+json")
    assert said in answer.json()["detail"]
    assert sorted((folder / "uploads").glob("*")) == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"upload": "0" * 32}, "not here any more"),
        ({"upload": "../../etc"}, "not here any more"),
        ({"upload": "example", "text": "words"}, "words"),
        ({"upload": "example", "labels": ["such"]}, "such"),
        ({"upload": "example", "model": "none/such"}, "no model of that name"),
        ({"upload": "example", "max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_can_not_be_begun(api: str, asked: dict[str, Any], said: str) -> None:
    answer = ask(f"{api}/corpora", asked)
    assert answer.status == 422
    assert said in answer.json()["detail"]


def test_a_pass_goes_on_when_the_server_starts_again(
    environment: Environment, data_folder: Folder
) -> None:
    folder = data_folder()
    settings = load_settings(MOESCOPE_DATA_DIR=folder)
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        id_ = begin(f"{address}/api/v1", rows(MANY))["id"]
        until(lambda: Library(folder).find(id_).state.number > 0, 120)
    assert Library(folder).find(id_).status == "waiting"
    before = Library(folder).counts(id_).documents
    assert 0 < before < MANY
    with serving(build(settings)) as address:
        until(lambda: Library(folder).find(id_).status == "recorded", 240)
    assert Library(folder).counts(id_).documents == MANY


def test_a_process_whose_server_is_gone_ends(
    environment: Environment, data_folder: Folder, tmp_path: Path
) -> None:
    folder, file = data_folder(), tmp_path / "some.jsonl"
    file.write_bytes(rows(MANY))
    env = environment(MOESCOPE_DATA_DIR=folder)
    script = (
        "import sys, pathlib; from app.settings import load_settings; "
        "from app.corpus.library import Library; from app.corpus.order import Order; "
        "from app.corpus.state import id_of; from app.jobs import Jobs; import time, os; "
        "s = load_settings(); l = Library(s.data_dir); "
        "o = Order((sys.argv[1],), 'text', (), 'switch-mini-8', 128); "
        "l.submit(id_of(o), o, 1); l.want(id_of(o), 'run'); "
        "j = Jobs(l, s.environment()); j.start(); time.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", script, str(file)], cwd=ROOT, env=env)
    library = Library(folder)
    until(lambda: any(one.progress.documents for one in library.passes()), 120)
    server.kill()
    server.wait()
    until(lambda: library.passes()[0].status == "waiting", 30)
    assert not library.passes()[0].state.finished


def test_names_of_files() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\a\\b c.csv") == "b c.csv"
    assert safe_name("…/") == "corpus"
    assert safe_name("a\0b?.jsonl.gz") == "a_b_.jsonl.gz"
