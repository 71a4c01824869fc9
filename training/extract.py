"""Plain paragraphs out of HTML, message catalogues, dictionaries, verses and source code.

Each function yields lists of paragraphs; one list is one stretch of connected text (a page, a
file, a chapter), so that neighbouring paragraphs may share a document.
"""

from __future__ import annotations

import gettext
import gzip
import itertools
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

Section = list[str]

_BLOCKS = frozenset(
    "p div li h1 h2 h3 h4 h5 h6 td th dt dd pre tr table ul ol dl br title body".split()
)
_SKIPPED = frozenset("script style nav header footer head button aside".split())


class _Paragraphs(HTMLParser):
    """Collects block-level text; what stands in ``pre`` keeps its line breaks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: Section = []
        self._parts: list[str] = []
        self._skip = self._pre = 0

    def _flush(self) -> None:
        text = "".join(self._parts)
        text = text.strip("\n") if self._pre else " ".join(text.split())
        self._parts.clear()
        if text.strip():
            self.paragraphs.append(text)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._flush()
        self._skip += tag in _SKIPPED
        self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag in _SKIPPED:
            self._skip = max(0, self._skip - 1)
        if tag == "pre":
            self._pre = max(0, self._pre - 1)

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self._parts.append(data)


def html_pages(folder: Path, start_marker: str = "") -> Iterator[Section]:
    """Every HTML page below ``folder``; text before ``start_marker`` is navigation and dropped."""
    for path in sorted(folder.rglob("*.html")):
        source = path.read_text(encoding="utf-8", errors="ignore")
        if start_marker:
            source = source[max(0, source.find(start_marker)) :]
            source = source[source.find(">") + 1 :]
        parser = _Paragraphs()
        parser.feed(source)
        parser.close()
        yield [p for p in parser.paragraphs if len(p) >= 15]


_MARKUP = re.compile(r"<[^<>]{1,200}>")


def catalogue(tree: Path, language: str | None) -> Iterator[Section]:
    """Dialogue of a game's campaigns: the translations, or the English originals for ``None``."""
    locale = language or "fr"
    for path in sorted(tree.glob(f"usr/share/games/wesnoth/*/locale/{locale}/LC_MESSAGES/*.mo")):
        with path.open("rb") as stream:
            messages: dict[object, str] = vars(gettext.GNUTranslations(stream))["_catalog"]
        section: Section = []
        for original, translated in messages.items():
            if not isinstance(original, str) or not original:
                continue
            # "context^text": the part before the caret is a note to the translator.
            text = original.rpartition("^")[2] if language is None else translated
            text = _MARKUP.sub("", text).strip()
            if len(text) >= 12 and "=" not in text and "{" not in text:
                section.append(text)
        yield section


def dictionary(path: Path, size: int = 1200) -> Iterator[Section]:
    """Entries of a dictd dictionary, a stretch of about ``size`` characters at a time."""
    with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as stream:
        text = stream.read()
    text = re.sub(r"\n\s*\[[^\]\n]*Webster[^\]\n]*\]", "", text).replace("\ufffd", "")
    section: Section = []
    length = 0
    for entry in re.split(r"\n\s*\n", text)[20:]:
        flat = " ".join(entry.replace("{", "").replace("}", "").split())
        if len(flat) < 25:
            continue
        section.append(flat)
        length += len(flat)
        if length > size:
            yield section
            section, length = [], 0


def bible(trees: Path) -> Iterator[Section]:
    """The King James Bible, a chapter at a time, verses without their numbers."""
    reader = trees / "bible-kjv/usr/bin/bible"
    text = subprocess.run(
        [str(reader), "-f", "-p", str(trees / "bible-kjv-text/usr/lib")],
        input="gen1:1-rev22:21\n", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    verses = re.findall(r"^([A-Z0-9][A-Za-z0-9]*?\d+):\d+ (.+)$", text, flags=re.MULTILINE)
    for _, chapter in itertools.groupby(verses, key=lambda verse: verse[0]):
        yield [verse for _, verse in chapter]


def code(folder: Path, pattern: str) -> Iterator[Section]:
    """Source files, split at blank lines (a block is what a paragraph is in prose)."""
    for path in sorted(folder.rglob(pattern)):
        if not path.is_file() or path.is_symlink() or ".min." in path.name:
            continue
        source = path.read_text(encoding="utf-8", errors="ignore").replace("\r", "")
        blocks = re.split(r"\n\s*\n", source)
        # Lines longer than this are data tables, not code that a person would type.
        yield [b.strip("\n") for b in blocks if b.strip() and max(map(len, b.split("\n"))) < 160]
