"""What was accepted and where it stands, on the local disk: one SQLite file in WAL mode.

Several processes may share it (the app and the command line). Every change is on the disk
when its method returns.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from app.recording.base import Receipt, RecordingError

State = Literal["pending", "failed", "recorded"]

_VERSION = 1
_BUSY_SECONDS = 2.0
# So many recorded ones can still be opened while the store is down; of older ones only
# their place in the store is known, and of very old ones not even that.
_KEPT_TRACES = 200
_KEPT_ROWS = 20_000
_SCHEMA = """
create table analyses (
    id text primary key,
    key text not null,
    created real not null,
    forced integer not null,
    state text not null check (state in ('pending', 'failed', 'recorded')),
    run_id text,
    trace blob,
    summary text not null,
    begun integer not null default 0,
    failures integer not null default 0,
    due real not null default 0,
    detail text not null default ''
);
create index analyses_by_key on analyses (key, created);
create index analyses_by_run on analyses (run_id);
create index analyses_by_state on analyses (state, created);
create table deletions (
    id text primary key,
    run_id text,
    due real not null
);
create table notes (name text primary key, value text not null);
"""
_COLUMNS = "id, key, created, forced, state, run_id, begun, failures, detail, summary"
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk can't be written",
    sqlite3.SQLITE_READONLY: "it can't be written",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened",
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away to begin anew",
    sqlite3.SQLITE_NOTADB: "it is damaged; move it away to begin anew",
}


@dataclass(frozen=True)
class Item:
    """An analysis that was accepted. `begun` tells that a run may have been made for it
    already, `summary` what the history shows of it (plain JSON values)."""

    id: str
    key: str
    created: datetime
    forced: bool
    state: State
    run_id: str | None
    begun: bool
    failures: int
    detail: str
    summary: Mapping[str, Any]

    @property
    def receipt(self) -> Receipt:
        return Receipt(self.id, self.run_id, self.state, self.detail)


@dataclass(frozen=True)
class Deletion:
    """Something to delete: an analysis, a run of the store, or both. `due` is a time stamp."""

    id: str
    run_id: str | None
    due: float


class Outbox:
    """The file. Safe to use from any thread; raises RecordingError if the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._settled = 0

    def put(
        self, key: str, trace: bytes, summary: Mapping[str, Any], forced: bool = False
    ) -> Receipt:
        """Keeps an analysis, or without `forced` takes up the one of its key.

        One that is recorded already waits again, until it is seen to be in the store still.
        """
        with self._change() as db:
            known = None if forced else _one(db, "key = ? and not hidden", (key,))
            if known is not None and known.state == "pending":
                return known.receipt
            if known is not None:
                again = "state = 'pending', trace = ?, failures = 0, due = 0, detail = ''"
                db.execute(f"update analyses set {again} where id = ?", (trace, known.id))  # noqa: S608
                return Receipt(known.id, known.run_id, "pending")
            id_ = uuid.uuid4().hex
            row = (id_, key, time.time(), forced, "pending", trace, json.dumps(summary))
            db.execute(
                "insert into analyses (id, key, created, forced, state, trace, summary) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return Receipt(id_, None, "pending")

    def get(self, id_: str) -> Item | None:
        """What is known of an analysis by its id or its run's, deleted ones too."""
        with self._read() as db:
            return _one(db, "id = ?", (id_,)) or _one(db, "run_id = ?", (id_,))

    def trace(self, id_: str) -> bytes | None:
        """The trace file of an analysis, while it is kept here."""
        with self._read() as db:
            row = db.execute("select trace from analyses where id = ?", (id_,)).fetchone()
            return row[0] if row else None

    def items(self, states: Sequence[State], limit: int, offset: int = 0) -> list[Item]:
        """Those in these states that are not deleted, newest first."""
        marks = ", ".join("?" * len(states))
        wanted = f"state in ({marks}) and not hidden"
        with self._read() as db:
            return _all(db, wanted, (*states, limit, offset), "limit ? offset ?")

    def next(self) -> Item | None:
        """The oldest one that waits and whose time has come."""
        with self._read() as db:
            found = _all(
                db,
                "state = 'pending' and due <= ? and not hidden",
                (time.time(),),
                "limit 1",
                newest=False,
            )
            return found[0] if found else None

    def begin(self, id_: str) -> None:
        """From now on a run may exist for it in the store."""
        with self._change() as db:
            db.execute("update analyses set begun = 1 where id = ?", (id_,))

    def settle(self, id_: str, run_id: str) -> None:
        """It stands in the store."""
        with self._change() as db:
            db.execute(
                "update analyses set state = 'recorded', run_id = ?, detail = '' where id = ?",
                (run_id, id_),
            )
        self._settled += 1
        if self._settled % 50 == 0:
            self._trim()

    def put_off(self, id_: str, detail: str, seconds: float | None) -> None:
        """It could not be written: again after `seconds`, or with None it has failed."""
        with self._change() as db:
            state, due = ("failed", 0.0) if seconds is None else ("pending", time.time() + seconds)
            db.execute(
                "update analyses set state = ?, due = ?, detail = ?, failures = failures + 1 "
                "where id = ?",
                (state, due, detail, id_),
            )

    def retry(self) -> None:
        """Everything that waits or has failed is to be tried at once."""
        with self._change() as db:
            db.execute(
                "update analyses set state = 'pending', due = 0, failures = 0, detail = '' "
                "where state in ('pending', 'failed')"
            )

    def forget(self, id_: str) -> None:
        """Nothing is known of an analysis any more, nor of its deletion."""
        with self._change() as db:
            db.execute("delete from analyses where id = ? or run_id = ?", (id_, id_))
            db.execute("delete from deletions where id = ? or run_id = ?", (id_, id_))

    def delete(self, ids: Sequence[str], seconds: float) -> None:
        """These are hidden from now on, and to be deleted after some seconds."""
        due = time.time() + seconds
        with self._change() as db:
            for id_ in ids:
                known = _one(db, "id = ?", (id_,)) or _one(db, "run_id = ?", (id_,))
                row = (known.id, known.run_id) if known else (id_, id_)
                db.execute("insert or ignore into deletions values (?, ?, ?)", (*row, due))

    def put_off_deletion(self, id_: str, seconds: float) -> None:
        """It could not be carried out: again after some seconds."""
        with self._change() as db:
            db.execute("update deletions set due = ? where id = ?", (time.time() + seconds, id_))

    def restore(self, ids: Sequence[str]) -> list[str]:
        """Takes back deletions that are not due; gives the ids that came back.

        One that is due may be half carried out already.
        """
        with self._change() as db:
            return [
                id_
                for id_ in ids
                if db.execute(
                    "delete from deletions where (id = ? or run_id = ?) and due > ?",
                    (id_, id_, time.time()),
                ).rowcount
            ]

    def deletions(self, due: bool = False, limit: int = -1) -> list[Deletion]:
        """What is to be deleted, or of that what is `due`, in order; by default all."""
        until = time.time() if due else float("inf")
        with self._read() as db:
            rows = db.execute(
                "select id, run_id, due from deletions where due <= ? order by due limit ?",
                (until, limit),
            )
            return [Deletion(*row) for row in rows]

    def hidden(self) -> set[str]:
        """Ids, of analyses and of runs, of what is deleted though it may still be there."""
        with self._read() as db:
            rows = db.execute(
                "select d.id, d.run_id, a.run_id from deletions d "
                "left join analyses a on a.id = d.id"
            )
            return {id_ for row in rows for id_ in row if id_}

    def counts(self) -> tuple[int, int, str]:
        """How many wait, how many have failed, and why the last of these did."""
        with self._read() as db:
            found = dict(
                db.execute(
                    "select state, count(*) from analyses where state != 'recorded' "
                    "and id not in (select id from deletions) group by state"
                ).fetchall()
            )
            last = db.execute(
                "select detail from analyses where state = 'failed' order by created desc limit 1"
            ).fetchone()
            failed = found.get("failed", 0)
            return found.get("pending", 0), failed, last[0] if last and failed else ""

    def note(self, name: str, value: str | None = None) -> str:
        """A word that all processes share; sets it if `value` is given."""
        with self._read() as db:
            row = db.execute("select value from notes where name = ?", (name,)).fetchone()
        before: str = row[0] if row else ""
        if value is None or value == before:
            return before
        with self._change() as db:
            db.execute("insert or replace into notes values (?, ?)", (name, value))
        return value

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _trim(self) -> None:
        with self._change() as db:
            oldest = (
                "select id from analyses where state = 'recorded' "
                "order by created desc limit -1 offset ?"
            )
            db.execute(
                f"update analyses set trace = null where trace is not null and id in ({oldest})",  # noqa: S608
                (_KEPT_TRACES,),
            )
            db.execute(f"delete from analyses where id in ({oldest})", (_KEPT_ROWS,))  # noqa: S608

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            yield self._open()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            db = self._open()
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The code's lowest byte is the kind, what is above tells it more exactly.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            reason = _REASONS.get(code, str(error))
            raise RecordingError(f"can't keep it in {self._path.name}: {reason}") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RecordingError(f"can't keep it in {self._path.name}: {reason}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _place(self._path):
            # The file was taken away: what is written there now would be lost.
            self.close()
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                db.execute("pragma journal_mode = wal")
                db.execute("pragma synchronous = full")
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._connection, self._file = db, _place(self._path)
        return self._connection

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("begin immediate")
        version = db.execute("pragma user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"pragma user_version = {_VERSION}")
        db.execute("commit")
        if version > _VERSION:
            raise RecordingError(f"{self._path.name} was made by a newer version of MoEScope")


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _one(db: sqlite3.Connection, wanted: str, values: Sequence[Any]) -> Item | None:
    found = _all(db, wanted, values, "limit 1")
    return found[0] if found else None


def _all(
    db: sqlite3.Connection, wanted: str, values: Sequence[Any], end: str, newest: bool = True
) -> list[Item]:
    wanted = wanted.replace("not hidden", "id not in (select id from deletions)")
    order = "desc" if newest else "asc"
    query = f"select {_COLUMNS} from analyses where {wanted} order by created {order} {end}"  # noqa: S608
    return [
        Item(
            id=row[0],
            key=row[1],
            created=datetime.fromtimestamp(row[2], UTC),
            forced=bool(row[3]),
            state=row[4],
            run_id=row[5],
            begun=bool(row[6]),
            failures=row[7],
            detail=row[8],
            summary=json.loads(row[9]),
        )
        for row in db.execute(query, values)
    ]
