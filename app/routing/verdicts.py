"""Remembers what was found out about a model, so that a second start need not find it again.

Small JSON files in one folder. A file that can't be read, or says something else than it
should, counts as missing; a folder that can't be written keeps nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

log = logging.getLogger(__name__)

FORMAT = 1
_CODE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """What the examination found of a router: the fields of a RouterSite that need a run."""

    name: str
    num_experts: int
    top_k: int
    capacity: int | None
    score_function: str
    selection: str


@dataclass(frozen=True)
class Verdict:
    """What came of examining a model: its routers in order of depth, and what it can do.

    `packed`: its linear layers can be packed. `agreement` of fast mode: share and number of
    choices, share in a batch. `choices` are the experts [layer][token][k] of the first probe.
    """

    sites: tuple[Site, ...]
    notes: tuple[str, ...]
    batches: bool
    generates: bool
    packed: bool
    agreement: tuple[float, int, float | None] | None
    choices: tuple[tuple[tuple[int, ...], ...], ...]
    format: int = FORMAT


@dataclass(frozen=True)
class _FileDigest:
    path: str
    stamp: tuple[int, ...]
    sha256: str


class Verdicts:
    """Verdicts and digests of files in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, key: str) -> Verdict | None:
        """What was kept under a key, None if nothing or nothing usable was."""
        found: Verdict | None = self._read(f"verdict-{key}.json", TypeAdapter(Verdict))
        return found if found is not None and found.format == FORMAT else None

    def keep(self, key: str, verdict: Verdict) -> None:
        """Keeps a verdict under a key, if the disk takes it."""
        self._write(f"verdict-{key}.json", TypeAdapter(Verdict).dump_json(verdict))

    def sha256(self, path: Path) -> str:
        """A file's digest in hexadecimal, computed again only when the file has changed.

        Told by its size, its inode and the times of its last changes; that of the inode
        can't be set back, so a file put in its place is noticed.
        """
        where = path.resolve()
        name = f"digest-{hashlib.sha256(str(where).encode()).hexdigest()[:32]}.json"
        status = where.stat()
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        known: _FileDigest | None = self._read(name, TypeAdapter(_FileDigest))
        if known is not None and (known.path, known.stamp) == (str(where), stamp):
            return known.sha256
        with where.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = _FileDigest(str(where), stamp, digest)
        self._write(name, TypeAdapter(_FileDigest).dump_json(found))
        return digest

    def _read(self, name: str, kind: TypeAdapter[Any]) -> Any:
        if self._folder is None:
            return None
        try:
            return kind.validate_json((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("%s is not used: %s", name, str(error).splitlines()[0])
            return None

    def _write(self, name: str, content: bytes) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, also when two processes load the same model.
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(content)
            Path(file.name).replace(self._folder / name)
        except OSError as error:
            log.info("%s is not kept: %s", name, error)


def key_of(parts: Mapping[str, Any]) -> str:
    """One value for everything that a verdict depends on: the given parts, and our own code."""
    code = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        code.update(path.read_bytes())
    whole = json.dumps({**parts, "code": code.hexdigest()}, sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
