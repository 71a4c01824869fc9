"""The passes that lie in the data folder: what each was asked, how far it is, what it counted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.counting.counts import Counts
from app.corpus.order import Order, Progress
from app.corpus.state import Kept, State
from app.folders import is_locked, read, read_text, write, write_text

Status = Literal[
    "waiting", "running", "pausing", "paused", "stopped", "failed", "finished", "recorded"
]
Wanted = Literal["run", "pause"]

ABOUT, MODEL, PIECES = "about.json", "model.json", "pieces.parquet"
RECORDED, WANTED, FAILED, PROGRESS = "recorded.json", "wanted", "failed", "progress.json"
DIGEST = "digest"
_ID = re.compile(r"[0-9a-f]{32}")
_REMEMBERED = 4


class PassNotFoundError(LookupError):
    """No pass has that id."""


@dataclass(frozen=True)
class About:
    """What stands fixed. `created` is in UTC, `size` the files' bytes.

    `model` is its identity, dtype and versions as plain values, empty until the pass begins.
    """

    id: str
    order: Order
    created: datetime
    size: int
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Pass:
    """A pass as it lies there. `run_id` is MLflow's once it is recorded.

    `detail` says in a line why it failed, or waits to be recorded. `digest` is SHA-256 of the
    files' bytes in hexadecimal digits, empty before the pass has come to its end.
    """

    about: About
    state: State
    status: Status
    progress: Progress
    detail: str = ""
    run_id: str | None = None
    digest: str = ""


class Library:
    """The passes of a data folder. Safe to use from any thread and process."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "corpora"
        self._counts = lru_cache(_REMEMBERED)(self._load)

    def folder(self, id_: str) -> Path:
        """Where a pass lies. Raises PassNotFoundError for what is no id."""
        if not _ID.fullmatch(id_):
            raise PassNotFoundError("there is no such pass")
        return self._folder / id_

    def passes(self) -> list[Pass]:
        """All of them, the newest first."""
        found = []
        for file in self._folder.glob(f"*/{ABOUT}"):
            with suppress(PassNotFoundError):  # removed in between
                found.append(self.find(file.parent.name))
        return sorted(found, key=lambda one: one.about.created, reverse=True)

    def find(self, id_: str) -> Pass:
        """One by its id, or by that of its run. Raises PassNotFoundError."""
        folder = self.folder(id_)
        about = read(folder / ABOUT)
        if about is None:
            return self._of_run(id_)
        state = Kept(folder).state()
        recorded, progress = read(folder / RECORDED), read(folder / PROGRESS)
        return Pass(
            about=About(
                id=id_,
                order=Order.of(about["order"]),
                created=datetime.fromtimestamp(about["created"], UTC),
                size=about["size"],
                model=read(folder / MODEL) or {},
            ),
            state=state,
            status=_status(folder, state, recorded is not None),
            progress=Progress(**progress) if progress else Progress(size=about["size"]),
            detail=read_text(folder / FAILED),
            run_id=recorded["run_id"] if recorded else None,
            digest=read_text(folder / DIGEST),
        )

    def counts(self, id_: str) -> Counts:
        """What a pass has counted so far; not to be changed. Raises PassNotFoundError, or
        FileNotFoundError before the first count."""
        found = self.find(id_)
        # Another revision of the model begins to number its states anew.
        revision = str(found.about.model.get("revision"))
        counts: Counts = self._counts(found.about.id, found.state.number, revision)
        return counts

    def pieces(self, id_: str) -> dict[int, str]:
        """The tokenizer's piece for every token id. Raises PassNotFoundError, or
        FileNotFoundError before the pass begins."""
        table = pq.read_table(self.folder(self.find(id_).about.id) / PIECES)
        return dict(zip(table["token_id"].to_pylist(), table["piece"].to_pylist(), strict=True))

    def submit(self, id_: str, order: Order, size: int) -> None:
        """Makes the folder of a pass unless it is there. Raises OSError."""
        folder = self.folder(id_)
        if not (folder / ABOUT).exists():
            folder.mkdir(parents=True, exist_ok=True)
            created = datetime.now(UTC).timestamp()
            write(folder / ABOUT, {"order": order.plain(), "created": created, "size": size})

    def begin(self, id_: str, model: Mapping[str, Any], pieces: Mapping[int, str]) -> Kept:
        """What is kept of a pass with this model; what another revision counted is forgotten.

        Raises OSError.
        """
        folder = self.folder(id_)
        before = read(folder / MODEL)
        if before is not None and before["revision"] != model["revision"]:
            Kept(folder).forget()
            (folder / RECORDED).unlink(missing_ok=True)
        table = pa.table({"token_id": list(pieces), "piece": list(pieces.values())})
        pq.write_table(table, folder / PIECES, compression="zstd")
        write(folder / MODEL, model)
        (folder / FAILED).unlink(missing_ok=True)
        return Kept(folder)

    def tell(self, id_: str, progress: Progress) -> None:
        """Notes how far a pass is, for whoever looks. Raises OSError."""
        write(self.folder(id_) / PROGRESS, asdict(progress))

    def want(self, id_: str, wanted: Wanted) -> None:
        """Asks for a pass to go on, or to stop after its batch. Raises OSError."""
        folder = self.folder(id_)
        (folder / FAILED).unlink(missing_ok=True)
        write_text(folder / WANTED, wanted)

    def wanted(self, id_: str) -> str:
        """What was asked for last, "" if nothing was."""
        return read_text(self.folder(id_) / WANTED)

    def failed(self, id_: str, reason: str) -> None:
        """Notes in a line why a pass does not go on. Raises OSError."""
        write_text(self.folder(id_) / FAILED, reason)

    def recorded(self, id_: str, run_id: str) -> None:
        """Notes the run that a pass became. Raises OSError."""
        folder = self.folder(id_)
        write(folder / RECORDED, {"run_id": run_id})
        (folder / FAILED).unlink(missing_ok=True)

    def unrecorded(self, id_: str) -> None:
        """Forgets the run of a pass, so that it becomes another one. Raises OSError."""
        (self.folder(id_) / RECORDED).unlink(missing_ok=True)

    def digested(self, id_: str, digest: str) -> None:
        """Notes the digest of a pass' files. Raises OSError."""
        write_text(self.folder(id_) / DIGEST, digest)

    def remove(self, id_: str) -> None:
        """Removes a pass with all that it counted. A process that still runs it ends."""
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def _of_run(self, run_id: str) -> Pass:
        for file in self._folder.glob(f"*/{RECORDED}"):
            found = read(file)
            if found and found["run_id"] == run_id:
                return self.find(file.parent.name)
        raise PassNotFoundError("there is no such pass")

    def _load(self, id_: str, number: int, _revision: str) -> Counts:
        return Counts.load(Kept(self.folder(id_)).counts_of(number))


def _status(folder: Path, state: State, recorded: bool) -> Status:
    if state.finished:
        # It may be at work still: a process records it.
        return "recorded" if recorded else "finished"
    running, wanted = is_locked(folder), read_text(folder / WANTED)
    if running:
        return "pausing" if wanted == "pause" else "running"
    if (folder / FAILED).exists():
        return "failed"
    return {"run": "waiting", "pause": "paused"}.get(wanted, "stopped")  # type: ignore[return-value]
