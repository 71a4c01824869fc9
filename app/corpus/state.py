"""Where a pass stands, on the disk: a stop at any moment leaves the last state whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app import __version__
from app.corpus.counting.counts import Counts
from app.corpus.order import Order
from app.corpus.reading.source import Place, Skips
from app.folders import locked

PARTS = "tokens"
_STATE = "state.json"


class BusyPassError(Exception):
    """Another process works on a pass; the message is one short line."""


@dataclass
class State:
    """A pass at a batch's end: in the window that begins at `place`, `groups` of its batches
    are counted.

    `parts`: files of the tokens' routing that belong to it. `number` counts the states.
    """

    place: Place | None = None
    groups: int = 0
    parts: int = 0
    number: int = 0
    seconds: float = 0.0
    finished: bool = False
    skips: Skips = field(default_factory=Skips)


class Kept:
    """The folder of a pass: the newest state, and the counts that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> State:
        """The newest state; that of a pass which has not begun where there is none."""
        file = self.folder / _STATE
        if not file.exists():
            return State()
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        place = values.pop("place")
        skips = Skips.of(values.pop("skips"))
        return State(place=Place.of(place) if place else None, skips=skips, **values)

    def load(self, empty: Counts) -> tuple[State, Counts]:
        """The newest state and its counts; `empty` ones before the first."""
        state = self.state()
        return state, Counts.load(self.counts_of(state.number)) if state.number else empty

    def save(self, state: State, counts: Counts) -> None:
        """Keeps a state, then lets the one before go. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.counts_of(state.number)
        state.number += 1
        counts.save(self.counts_of(state.number))
        values = asdict(state) | {
            "place": state.place.plain() if state.place else None,
            "skips": state.skips.plain(),
        }
        written = self.folder / f"{_STATE}.new"
        with written.open("w", encoding="utf-8") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.folder / _STATE)
        shutil.rmtree(before, ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no other process works on this pass. Raises BusyPassError."""
        with locked(self.folder, BusyPassError("another process works on this pass")):
            yield

    def forget(self) -> None:
        """Lets everything counted go, so that the pass begins anew."""
        (self.folder / _STATE).unlink(missing_ok=True)
        for folder in (*self.folder.glob("counts-*"), self.folder / PARTS):
            shutil.rmtree(folder, ignore_errors=True)

    def counts_of(self, number: int) -> Path:
        """The folder of the counts of a state."""
        return self.folder / f"counts-{number}"


def id_of(order: Order) -> str:
    """The id of a pass: the same order over unchanged files has the same, so that it goes on
    where it was. Raises OSError for a file that is gone."""
    found = [(name, Path(name).stat()) for name in order.files]
    files = [(name, file.st_size, file.st_mtime_ns) for name, file in found]
    asked = json.dumps([__version__, order.plain(), files], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:32]
