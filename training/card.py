"""The model card, written from the committed weights and the committed held-out sample.

``measure`` gives the numbers, ``metrics.json`` keeps them, ``render`` puts them into words. With
``check`` the numbers are computed again and compared, and so is the text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training import corpus, evaluate, export, sources
from training.card_text import render

log = logging.getLogger(__name__)

#: Absolute difference that another processor or thread count may make. A logit that is nearly a
#: tie may fall the other way, so loads and information move in the fourth digit.
TOLERANCE = 0.005


def measure(folder: Path, held_out: Path, unigram: Path) -> dict[str, Any]:
    """The numbers of the card, computed from what is committed."""
    model, pieces = export.load(folder)
    numbers = evaluate.measure(model, pieces, corpus.load(held_out), evaluate.load_counts(unigram))
    rounded: dict[str, Any] = json.loads(
        json.dumps(numbers), parse_float=lambda x: round(float(x), 5)
    )
    return rounded


def main(folder: Path, held_out: Path, unigram: Path, *, check: bool) -> int:
    """Write the card, or check the one that is there; 1 if it does not hold."""
    numbers = measure(folder, held_out, unigram)
    shown = facts(folder)
    store, page = folder / "metrics.json", folder / "README.md"
    if not check:
        store.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        page.write_text(render(numbers, shown), encoding="utf-8")
        log.info("wrote %s", page)
        return 0
    stored = json.loads(store.read_text(encoding="utf-8"))
    problems = list(differences(stored, numbers))
    if page.read_text(encoding="utf-8") != render(stored, shown):
        problems.append("README.md is not what its numbers give")
    for problem in problems:
        log.error("%s", problem)
    log.info("%d numbers differ", len(problems))
    return 1 if problems else 0


def differences(stored: Any, found: Any, where: str = "") -> Iterator[str]:
    """Where two trees of numbers differ by more than ``TOLERANCE``."""
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        for key, value in stored.items():
            yield from differences(value, found[key], f"{where}/{key}")
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for index, (left, right) in enumerate(zip(stored, found, strict=True)):
            yield from differences(left, right, f"{where}/{index}")
    elif isinstance(stored, float) and isinstance(found, int | float):
        if abs(stored - found) > TOLERANCE:
            yield f"{where}: {stored} in the card, {found} now"
    elif stored != found:
        yield f"{where}: {stored!r} in the card, {found!r} now"


def facts(folder: Path) -> dict[str, Any]:
    """How the run went and how large its result is."""
    found: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    found["config"] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = folder / "model.safetensors"
    found["parameters"] = weights.stat().st_size // 2  # bfloat16; the header is negligible
    found["megabytes"] = (weights.stat().st_size + (folder / "tokenizer.json").stat().st_size) / 1e6
    found["sources"] = sources.SOURCES
    return found
