"""The folder of something that takes long: small files that are whole or not there, and a lock.

One process works in it; any may look.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_LOCK = "lock"
_TRIES, _TRY_SECONDS = 20, 0.05


def read(file: Path) -> dict[str, Any] | None:
    """The values of a JSON file, None where there is none."""
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return values


def read_text(file: Path) -> str:
    """The text of a file, "" where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def write(file: Path, values: Mapping[str, Any]) -> None:
    """Writes values as JSON. Raises OSError."""
    write_text(file, json.dumps(values, ensure_ascii=False, indent=1))


def write_text(file: Path, text: str) -> None:
    """Writes a text so that whoever looks finds it, or what was there before. Raises OSError."""
    written = file.with_name(f"{file.name}.new")
    written.write_text(text, encoding="utf-8")
    written.replace(file)


@contextmanager
def locked(folder: Path, busy: Exception) -> Iterator[None]:
    """While it lasts no other process works in this folder. Raises `busy` if one does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        if not _taken(lock, fcntl.LOCK_EX):
            raise busy
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process works in this folder."""
    try:
        with (folder / _LOCK).open() as lock:
            return not _taken(lock, fcntl.LOCK_SH, tries=1)
    except FileNotFoundError:
        return False


def _taken(lock: IO[str], kind: int, tries: int = _TRIES) -> bool:
    """Tries to lock a file; who only looks holds it for a moment."""
    for left in reversed(range(tries)):
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(_TRY_SECONDS)
        else:
            return True
    return False
