"""Documents of about 1,200 characters per domain, without repeats, split by hash.

One document in twenty is held out: which ones depends on nothing but their own text. A paragraph
that occurred before (a licence header, an untranslated page) is dropped wherever it comes again,
so that no paragraph of a held-out document stands in the training text.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training import arithmetic, extract, sources

log = logging.getLogger(__name__)

DOCUMENT_CHARS = 1200
#: Enough that a run of two hours sees nothing of a domain more than a few times.
DOMAIN_CHARS = 8_000_000
HELD_OUT_SHARE = 0.05
HELD_OUT_PER_DOMAIN = 40
ARITHMETIC_SEED = 2021

HANDBOOK = "debian-handbook/usr/share/doc/debian-handbook/html"
INSTALLATION = "installation-guide-amd64/usr/share/doc/installation-guide-amd64"
_HANDBOOK_LOCALES = {
    "en": "en-US", "fr": "fr-FR", "de": "de-DE", "es": "es-ES", "it": "it-IT", "pt": "pt-BR",
    "ru": "ru-RU", "ja": "ja-JP",
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A stretch of text with the index of its domain in ``sources.DOMAINS``."""

    domain: int
    text: str

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text: decides the split and every later order."""
        return hashlib.sha256(self.text.encode()).digest()


def is_held_out(digest: bytes) -> bool:
    """Whether the hash falls into the first ``HELD_OUT_SHARE`` of its range."""
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _guides(trees: Path, code: str) -> Iterator[extract.Section]:
    help_code = "en-us" if code == "en" else code
    for campaign in sorted(trees.glob("wesnoth-1.16-*")) if code != "en" else ():
        yield from extract.catalogue(campaign, "pt_BR" if code == "pt" else code)
    yield from extract.html_pages(trees / HANDBOOK / _HANDBOOK_LOCALES[code])
    yield from extract.html_pages(trees / INSTALLATION / code)
    # An HTML page of the office help starts with menus; its text follows this element.
    yield from extract.html_pages(
        trees / f"libreoffice-help-{help_code}/usr/share/libreoffice/help", 'id="DisplayArea"'
    )


def _sections(trees: Path, domain: str) -> Iterator[extract.Section]:
    """Connected stretches of paragraphs of one domain, always in the same order."""
    if domain == "stories":
        for campaign in sorted(trees.glob("wesnoth-1.16-*")):
            yield from extract.catalogue(campaign, None)
    elif domain == "bible":
        yield from extract.bible(trees)
    elif domain == "dictionary":
        yield from extract.dictionary(trees / "dict-wn/usr/share/dictd/wn.dict.dz")
        yield from extract.dictionary(trees / "dict-gcide/usr/share/dictd/gcide.dict.dz")
    elif domain == "technical":
        yield from _guides(trees, "en")
        yield from extract.dictionary(trees / "dict-jargon/usr/share/dictd/jargon.dict.dz")
    elif domain == "python":
        yield from extract.code(trees / "libpython3.11-stdlib", "*.py")
    elif domain == "c":
        yield from extract.code(trees / "linux-libc-dev/usr/include", "*.h")
        yield from extract.code(trees / "libstdc++-12-dev/usr/include", "*")
    elif domain == "javascript":
        for package in ("libjs-jquery", "libjs-underscore", "libjs-three"):
            yield from extract.code(trees / package, "*.js")
    else:
        yield from _guides(trees, domain)


def _arithmetic() -> Iterator[str]:
    """Documents whose lines are all held out or all for training, by the hash of the line."""
    pools: dict[bool, list[str]] = {True: [], False: []}
    for lines in arithmetic.documents(4000, ARITHMETIC_SEED):
        for line in lines:
            pools[is_held_out(hashlib.sha256(line.encode()).digest())].append(line)
    for pool in pools.values():
        for start in range(0, len(pool), 30):
            yield "\n".join(pool[start : start + 30])


def _chunks(section: extract.Section, joint: str) -> Iterator[str]:
    """Join paragraphs into documents of about ``DOCUMENT_CHARS`` characters."""
    held: list[str] = []
    length = 0
    for paragraph in section:
        held.append(paragraph[: 3 * DOCUMENT_CHARS])
        length += len(held[-1]) + len(joint)
        if length >= DOCUMENT_CHARS:
            yield joint.join(held)
            held, length = [], 0
    if length >= 60:
        yield joint.join(held)


def _documents(trees: Path, name: str, seen: set[bytes]) -> Iterator[Document]:
    domain = sources.DOMAINS.index(name)
    joint = "\n\n" if name in ("python", "c", "javascript") else "\n"
    for section in _sections(trees, name):
        fresh: extract.Section = []
        for paragraph in section:
            # Case, spacing and digits aside, so that numbered boilerplate counts as a repeat.
            canonical = re.sub(r"[\W\d_]+", " ", paragraph.lower()).strip()
            key = hashlib.sha256((canonical or paragraph).encode()).digest()[:10]
            if key not in seen:
                seen.add(key)
                fresh.append(paragraph)
        for text in _chunks(fresh, joint):
            yield Document(domain, text)


def build(trees: Path) -> tuple[list[Document], list[Document]]:
    """All documents as (training, held out), the held-out ones capped per domain.

    English guides come first: where a translation left a page in English, the page counts as
    English.
    """
    seen: set[bytes] = set()
    training: list[Document] = []
    held_out: list[Document] = []
    for name in sorted(sources.DOMAINS, key=lambda name: name not in ("technical", "stories")):
        if name == "arithmetic":
            index = sources.DOMAINS.index(name)
            texts = list(_arithmetic())
            lines_out = {
                line for text in texts for line in text.split("\n")
                if is_held_out(hashlib.sha256(line.encode()).digest())
            }  # fmt: skip
            test = [Document(index, text) for text in texts if text.split("\n")[0] in lines_out]
            train = [
                Document(index, text) for text in texts if text.split("\n")[0] not in lines_out
            ]
        else:
            documents = list(_documents(trees, name, seen))
            train = [d for d in documents if not is_held_out(d.digest)]
            test = [d for d in documents if is_held_out(d.digest) and len(d.text) >= 600]
        train = _cap(sorted(train, key=lambda d: d.digest))
        test = sorted(test, key=lambda d: d.digest)[:HELD_OUT_PER_DOMAIN]
        chars = sum(len(d.text) for d in train)
        log.info("%-11s %6d documents %6.2f M characters, %d held out",
                 name, len(train), chars / 1e6, len(test))  # fmt: skip
        training += train
        held_out += sorted(test, key=lambda d: d.digest)
    held_out.sort(key=lambda d: (d.domain, d.digest))
    return training, held_out


def _cap(documents: list[Document]) -> list[Document]:
    total = 0
    for count, document in enumerate(documents):
        total += len(document.text)
        if total > DOMAIN_CHARS:
            return documents[:count]
    return documents


def save(documents: list[Document], path: Path) -> None:
    """One JSON object per line, gzip without a time stamp: equal documents, equal bytes."""
    lines = (
        json.dumps({"domain": sources.DOMAINS[d.domain], "text": d.text}, ensure_ascii=False)
        for d in documents
    )
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


def load(path: Path) -> list[Document]:
    """What ``save`` wrote."""
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    rows = [json.loads(line) for line in lines if line]
    return [Document(sources.DOMAINS.index(row["domain"]), row["text"]) for row in rows]
