"""What was noted of requests, in an SQLite file of the data folder.

Of what people asked only counts are kept, no value of any row; of what was answered, the latest
rows' predictions, so that the truth can be told later.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.automl.mojo import Scores
from app.serving.notes import Note, Tally, tally

# Of one version; so many rows or so many bytes of their probabilities.
MOST_ROWS, MOST_BYTES = 50_000, 64_000_000
_LOCKED_SECONDS = 10.0
_TABLES = """
create table if not exists days (
  run text, day text, requests int, rows int, refused int, failed int, seconds real,
  latencies blob, counts blob, primary key (run, day)
) without rowid;
create table if not exists answers (
  call text, row int, name text, run text, at real, predicted real, probabilities blob, truth,
  primary key (call, row)
) without rowid;
create index if not exists answers_of_version on answers (run, at);
"""


@dataclass(frozen=True)
class Labelled:
    """Answers whose truth is known by now: `truth` as somebody has told it, and the scores."""

    truth: list[Any]
    scores: Scores


class WatchStore:
    """The file. A version goes by the id of its run. Raises sqlite3.Error."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._made = False

    def add(self, notes: Sequence[Note]) -> None:
        """Adds what was noted, all of it or nothing."""
        of_day = defaultdict[tuple[str, str], list[Note]](list)
        for note in notes:
            of_day[note.served.version.run_id, note.day].append(note)
        with self._opened() as database, database:
            for (run, day), some in of_day.items():
                self._add_up(database, run, day, tally(some))
            for note in notes:
                if note.scores is not None:
                    _keep(database, note)
            for run, width in {
                note.served.version.run_id: note.scores.probabilities.shape[1]
                for note in notes
                if note.scores is not None
            }.items():
                _cut(database, run, width)

    def days(self, run: str, since: str = "") -> dict[str, Tally]:
        """What a version was asked, day by day; `since` is the first day."""
        with self._opened() as database:
            rows = database.execute(
                "select * from days where run = ? and day >= ? order by day", (run, since)
            ).fetchall()
        return {row["day"]: _tally_of(row) for row in rows}

    def label(self, name: str, truths: Mapping[str, Any]) -> int:
        """Notes the truth, text or a number, by the ids of rows; gives how many are kept here and
        are answers of this model."""
        known = 0
        with self._opened() as database, database:
            for id_, truth in truths.items():
                call, _, row = id_.rpartition("-")
                if not row.isdecimal():
                    continue
                known += database.execute(
                    "update answers set truth = ? where call = ? and row = ? and name = ?",
                    (truth, call, int(row), name),
                ).rowcount
        return known

    def labelled(self, run: str) -> Labelled:
        """The answers of a version whose truth is known."""
        with self._opened() as database:
            rows = database.execute(
                "select predicted, probabilities, truth from answers "
                "where run = ? and truth is not null order by at, call, row",
                (run,),
            ).fetchall()
        blobs = [np.frombuffer(row["probabilities"], np.float32) for row in rows]
        probabilities = np.array(blobs, dtype=np.float64).reshape(len(rows), -1 if rows else 0)
        predicted: NDArray[np.float64] = np.array([row["predicted"] for row in rows], np.float64)
        return Labelled([row["truth"] for row in rows], Scores(predicted, probabilities))

    def kept(self, run: str) -> int:
        """How many answered rows of a version are kept."""
        with self._opened() as database:
            found = database.execute("select count(*) from answers where run = ?", (run,))
            return int(found.fetchone()[0])

    def _add_up(self, database: sqlite3.Connection, run: str, day: str, new: Tally) -> None:
        row = database.execute(
            "select * from days where run = ? and day = ?", (run, day)
        ).fetchone()
        all_ = _tally_of(row) + new if row else new
        database.execute(
            "insert or replace into days values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run,
                day,
                all_.requests,
                all_.rows,
                all_.refused,
                all_.failed,
                all_.seconds,
                all_.latencies.tobytes(),
                all_.values.tobytes(),
            ),
        )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=_LOCKED_SECONDS)) as database:
            database.row_factory = sqlite3.Row
            database.execute("pragma synchronous = normal")
            if not self._made:
                database.execute("pragma journal_mode = wal")
                database.executescript(_TABLES)
                self._made = True
            yield database


def _keep(database: sqlite3.Connection, note: Note) -> None:
    assert note.scores is not None
    version, scores = note.served.version, note.scores
    probabilities = scores.probabilities.astype(np.float32)
    database.executemany(
        "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, null)",
        (
            (note.call, row, version.name, version.run_id, note.at, predicted, each.tobytes())
            for row, (predicted, each) in enumerate(
                zip(scores.predicted.tolist(), probabilities, strict=True)
            )
        ),
    )


def _cut(database: sqlite3.Connection, run: str, width: int) -> None:
    """Leaves the latest answers of a version, as many as may be kept, and all of a call."""
    most = min(MOST_ROWS, MOST_BYTES // (4 * max(width, 1)))
    last = database.execute(
        "select at from answers where run = ? order by at desc limit 1 offset ?", (run, most)
    ).fetchone()
    if last:
        database.execute("delete from answers where run = ? and at < ?", (run, last["at"]))


def _tally_of(row: sqlite3.Row) -> Tally:
    return Tally(
        requests=row["requests"],
        rows=row["rows"],
        refused=row["refused"],
        failed=row["failed"],
        seconds=row["seconds"],
        latencies=np.frombuffer(row["latencies"], np.int64),
        values=np.frombuffer(row["counts"], np.int64),
    )
