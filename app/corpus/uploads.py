"""Files that people hand in: streamed to the disk, and kept while a pass needs them."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import AsyncIterable
from pathlib import Path

from app.corpus.reading.source import Description, SourceError, describe

EXAMPLE = "example"
_EXAMPLE_FILE = Path(__file__).with_name("example.jsonl.gz")
_ID = re.compile(r"[0-9a-f]{32}")
_UNSAFE = re.compile(r"[^\w.()+ -]")
_LONGEST_NAME = 120


class UploadTooLargeError(Exception):
    """More bytes than may be handed in; the message is one short line."""


class Uploads:
    """The files of a data folder, each in a folder of its own. Safe to use from any thread."""

    def __init__(self, data: Path, most_bytes: int) -> None:
        self._folder = data / "uploads"
        self._most = most_bytes

    async def receive(self, name: str, chunks: AsyncIterable[bytes]) -> str:
        """Writes a file as it comes, in constant memory; gives its id.

        Nothing stays of one that is too large or breaks off. Raises UploadTooLargeError or
        OSError.
        """
        id_ = uuid.uuid4().hex
        folder = self._folder / id_
        folder.mkdir(parents=True)
        size, done = 0, False
        try:
            with (folder / safe_name(name)).open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._most:
                        raise UploadTooLargeError(
                            f"the file is larger than {self._most / 1e6:,.0f} MB"
                        )
                    file.write(chunk)
            done = True
        finally:
            if not done:
                shutil.rmtree(folder, ignore_errors=True)
        return id_

    def file(self, id_: str) -> Path:
        """Where an upload lies, or the example. Raises SourceError if it is not there."""
        if id_ == EXAMPLE:
            return _EXAMPLE_FILE
        if _ID.fullmatch(id_):
            for file in (self._folder / id_).glob("*"):
                return file
        raise SourceError("the file is not here any more; hand it in again")

    def describe(self, id_: str) -> Description:
        """What an upload holds. Raises SourceError."""
        return describe(self.file(id_))

    def discard(self, id_: str) -> None:
        """Lets an upload go."""
        if _ID.fullmatch(id_):
            shutil.rmtree(self._folder / id_, ignore_errors=True)

    def discard_file(self, path: str) -> None:
        """Lets the upload of a file go; any other file stays where it is."""
        folder = Path(path).parent
        if folder.parent == self._folder:
            self.discard(folder.name)


def safe_name(name: str) -> str:
    """A file name without folders and without what file systems mind; its endings stay."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return _UNSAFE.sub("_", last)[-_LONGEST_NAME:].lstrip(". ") or "corpus"
