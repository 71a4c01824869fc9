"""Where the training text comes from: Debian packages, grouped by domain.

Every package named here was chosen for a free licence; README.md lists them one by one.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

LANGUAGES = ("fr", "de", "es", "it", "pt", "ru", "ja")

#: Domains in a fixed order; the index is the label used in the held-out sample.
DOMAINS = (
    "stories", "bible", "dictionary", "technical", *LANGUAGES,
    "python", "c", "javascript", "arithmetic",
)  # fmt: skip

#: Relative share of each domain in the training mix. English prose, French, code and
#: arithmetic weigh more: they are what a newcomer types first.
WEIGHTS: dict[str, float] = {
    "stories": 1.5, "bible": 0.9, "dictionary": 1.1, "technical": 1.1,
    "fr": 1.3, "de": 1.0, "es": 1.0, "it": 0.8, "pt": 0.8, "ru": 0.8, "ja": 0.6,
    "python": 1.3, "c": 0.9, "javascript": 0.9, "arithmetic": 1.0,
}  # fmt: skip

_CAMPAIGNS = (
    "did", "dm", "dw", "ei", "httt", "l", "low", "nr", "sof", "sota", "sotbe", "thot", "trow",
    "tsg", "ttb", "utbs",
)  # fmt: skip

_WESNOTH = tuple(f"wesnoth-1.16-{code}" for code in _CAMPAIGNS)
_OFFICE = tuple(f"libreoffice-help-{code}" for code in ("en-us", *LANGUAGES))


@dataclass(frozen=True)
class Source:
    """Packages under one licence, as their ``copyright`` files state it."""

    packages: tuple[str, ...]
    text: str
    licence: str


SOURCES = (
    Source(_WESNOTH, "dialogue of the campaigns of The Battle for Wesnoth, in English and in "
           "seven translations", "GPL-2.0-or-later"),
    Source(("bible-kjv", "bible-kjv-text"), "the King James Bible", "public domain"),
    Source(("dict-wn",), "WordNet 3.0", "WordNet 3.0 licence (permissive)"),
    Source(("dict-gcide",), "the GNU Collaborative International Dictionary of English",
           "GPL-2.0-or-later"),
    Source(("dict-jargon",), "the Jargon File", "public domain"),
    Source(("debian-handbook",), "The Debian Administrator's Handbook in eight languages",
           "GPL-2.0-or-later or CC-BY-SA-3.0"),
    Source(("installation-guide-amd64",), "the Debian installation guide in eight languages",
           "GPL-2.0"),
    Source(_OFFICE, "the LibreOffice help in eight languages", "MPL-2.0"),
    Source(("libpython3.11-stdlib",), "Python's standard library", "PSF-2.0"),
    Source(("linux-libc-dev",), "headers of the Linux kernel",
           "GPL-2.0 with the system call note"),
    Source(("libstdc++-12-dev",), "headers of the GNU C++ library",
           "GPL-3.0-or-later with the GCC runtime exception"),
    Source(("libjs-jquery", "libjs-three", "libjs-underscore"), "jQuery, three.js, Underscore.js",
           "MIT (Expat)"),
)  # fmt: skip

PACKAGES = tuple(package for source in SOURCES for package in source.packages)


def fetch(work: Path) -> Path:
    """Download and unpack every package below ``work``; needs apt, but no root.

    Returns the folder with one unpacked tree per package. Packages already there are kept.
    """
    archives, trees = work / "deb", work / "x"
    archives.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        tree = trees / package
        if tree.is_dir() and any(tree.iterdir()):
            continue
        found = sorted(archives.glob(f"{package}_*.deb"))
        if not found:
            log.info("downloading %s", package)
            subprocess.run(["apt-get", "download", "-qq", package], cwd=archives, check=True)
            found = sorted(archives.glob(f"{package}_*.deb"))
        partial = trees / f"{package}.partial"
        partial.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(partial)], check=True)
        partial.rename(tree)
    return trees
