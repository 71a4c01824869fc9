"""The outbox's file: what is accepted stays, is found again, and is counted right."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.recording.base import RecordingError
from app.recording.outbox import Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


def put(outbox: Outbox, key: str, forced: bool = False) -> str:
    return outbox.put(key, f"trace of {key}".encode(), {"text": key}, forced).id


def test_what_was_put_is_there_after_a_restart(path: Path) -> None:
    id_ = put(Outbox(path), "a")
    item = Outbox(path).next()
    assert item is not None
    assert (item.id, item.key, item.state, item.run_id) == (id_, "a", "pending", None)
    assert item.summary == {"text": "a"}
    assert Outbox(path).trace(id_) == b"trace of a"


def test_next_is_the_oldest_whose_time_has_come(path: Path) -> None:
    outbox = Outbox(path)
    first, second = put(outbox, "a"), put(outbox, "b")
    assert outbox.next().id == first  # type: ignore[union-attr]
    outbox.put_off(first, "no", 60)
    assert outbox.next().id == second  # type: ignore[union-attr]
    outbox.settle(second, "r")
    assert outbox.next() is None
    outbox.retry()
    assert outbox.next().id == first  # type: ignore[union-attr]


def test_one_key_is_one_analysis_unless_forced(path: Path) -> None:
    outbox = Outbox(path)
    first = put(outbox, "a")
    assert put(outbox, "a") == first
    forced = put(outbox, "a", forced=True)
    assert forced != first
    assert put(outbox, "a") == forced
    assert outbox.counts() == (2, 0, "")


def test_a_recorded_one_is_taken_up_again_with_its_run(path: Path) -> None:
    outbox = Outbox(path)
    id_ = put(outbox, "a")
    outbox.settle(id_, "run")
    assert outbox.next() is None
    receipt = outbox.put("a", b"again", {})
    assert (receipt.id, receipt.run_id, receipt.status) == (id_, "run", "pending")
    assert outbox.trace(id_) == b"again"
    assert outbox.get("run") == outbox.get(id_)


def test_failed_ones_are_counted_with_the_reason_and_tried_again(path: Path) -> None:
    outbox = Outbox(path)
    a, _ = put(outbox, "a"), put(outbox, "b")
    outbox.put_off(a, "it is broken", None)
    assert outbox.counts() == (1, 1, "it is broken")
    assert outbox.get(a).state == "failed"  # type: ignore[union-attr]
    outbox.retry()
    assert outbox.counts() == (2, 0, "")
    outbox.put_off(a, "still", None)
    assert put(outbox, "a") == a
    assert outbox.counts() == (2, 0, "")


def test_deleted_ones_are_hidden_until_restored_or_forgotten(path: Path) -> None:
    outbox = Outbox(path)
    a, b = put(outbox, "a"), put(outbox, "b")
    outbox.settle(b, "run-b")
    outbox.delete([a, "run-b", "unknown"], 60)
    assert outbox.hidden() == {a, b, "run-b", "unknown"}
    assert outbox.next() is None
    assert outbox.items(("pending", "recorded"), 10) == []
    assert outbox.counts() == (0, 0, "")
    assert outbox.deletions(due=True) == []
    assert put(outbox, "a") != a
    assert outbox.restore([a, "never"]) == [a]
    assert outbox.hidden() == {b, "run-b", "unknown"}
    outbox.forget(b)
    assert outbox.hidden() == {"unknown"}
    assert outbox.get("run-b") is None


def test_deletions_become_due(path: Path) -> None:
    outbox = Outbox(path)
    outbox.delete(["x"], 0)
    (deletion,) = outbox.deletions(due=True)
    assert (deletion.id, deletion.run_id) == ("x", "x")
    outbox.put_off_deletion("x", 60)
    assert outbox.deletions(due=True) == []
    assert len(outbox.deletions()) == 1


def test_items_are_newest_first_in_parts(path: Path) -> None:
    outbox = Outbox(path)
    ids = [put(outbox, str(number)) for number in range(5)]
    assert [item.id for item in outbox.items(("pending",), 2, 1)] == [ids[3], ids[2]]


def test_old_recorded_ones_leave_their_trace_but_not_waiting_ones(path: Path) -> None:
    outbox = Outbox(path)
    waiting = put(outbox, "waiting")
    ids = [put(outbox, str(number)) for number in range(300)]
    for id_ in ids:
        outbox.settle(id_, f"run-{id_}")
    kept = [id_ for id_ in ids if outbox.trace(id_) is not None]
    assert kept == ids[100:]
    assert outbox.get(ids[0]) is not None
    assert outbox.trace(waiting) is not None


def test_words_are_shared_between_processes(path: Path) -> None:
    one, other = Outbox(path), Outbox(path)
    assert one.note("down") == ""
    assert one.note("down", "no answer") == "no answer"
    assert other.note("down") == "no answer"
    assert other.note("down", "") == one.note("down") == ""


def test_threads_lose_nothing(path: Path) -> None:
    outbox = Outbox(path)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: put(outbox, str(n)), range(200)))
    assert len(ids) == 200
    assert outbox.counts() == (200, 0, "")


def test_two_processes_write_to_one_file(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from app.recording.outbox import Outbox\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "for n in range(100): outbox.put(f'{sys.argv[2]} {n}', b'x', {})"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), n]) for n in "ab"]
    assert [process.wait(60) for process in running] == [0, 0]
    assert Outbox(path).counts() == (200, 0, "")


def test_a_file_held_by_another_process_is_told_and_taken_later(path: Path) -> None:
    outbox = Outbox(path)
    put(outbox, "a")
    with closing(sqlite3.connect(path)) as other:
        other.execute("begin immediate")
        with pytest.raises(RecordingError, match="another process holds it"):
            put(outbox, "b")
    assert put(outbox, "b")
    assert outbox.counts() == (2, 0, "")


def test_a_file_taken_away_is_made_anew_rather_than_written_in_the_void(path: Path) -> None:
    outbox = Outbox(path)
    put(outbox, "a")
    for file in path.parent.iterdir():
        file.unlink()
    id_ = put(outbox, "b")
    assert Outbox(path).get(id_) is not None


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_what_is_no_outbox_is_told_or_filled(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    if content:
        with pytest.raises(RecordingError, match="it is damaged"):
            put(Outbox(path), "a")
        assert path.read_bytes() == content
    else:
        assert put(Outbox(path), "a")


def test_a_newer_version_is_refused(path: Path) -> None:
    put(Outbox(path), "a")
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(RecordingError, match="newer version"):
        put(Outbox(path), "b")


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="keep it in"):
        put(Outbox(tmp_path / "file" / "outbox.db"), "a")


def test_reading_goes_on_while_another_thread_writes(path: Path) -> None:
    outbox, reader = Outbox(path), Outbox(path)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            put(outbox, str(number := number + 1))

    thread = threading.Thread(target=write)
    thread.start()
    counts = [reader.counts()[0] for _ in range(200)]
    # On a busy machine the other thread may not have had its turn yet.
    while counts[-1] == counts[0] and thread.is_alive():
        counts.append(reader.counts()[0])
    stop.set()
    thread.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
