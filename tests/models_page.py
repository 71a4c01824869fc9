"""Writes docs/models.md: what became of every architecture that has routers.

Run as a program it writes the page; a test compares.
"""

from __future__ import annotations

import tempfile
import threading
from functools import cache
from pathlib import Path

import torch
import transformers

from app.routing.errors import ModelLoadError
from app.routing.loaded import LoadedModel
from app.routing.models import load_model
from app.settings import ModelSpec
from tests.architectures import ARCHITECTURES, NOT_BUILT, defaults
from tests.conftest import byte_tokenizer

PAGE = Path(__file__).parents[1] / "docs" / "models.md"

_HEAD = """\
# Models

MoEScope finds the routers of a model by what the transformers library declares, reads them in
the way of their family, and checks that on a probe text whenever a model is loaded: arrays and
counts, the choice against the scores, the combine weights against the scores, the experts that
run against those chosen, the logits against what the library itself records, a second pass, a
padded batch, and generated tokens against the same tokens forced. What fails is refused with
the reason; where only batches or generation fail, these alone are not used.

This page is written by a test that builds a tiny random model of each architecture, saves it,
loads it as a user would and captures it (`make models-page`). It speaks of transformers
{version}. Experts and k are those of the library's default configuration; a checkpoint can
have others.

- **Score function**: what makes scores of logits. «Softmax of the top-k»: the experts are
  chosen by their logits, the combine weights are the softmax of the chosen ones only.
- **Selection**: how the experts are chosen by their scores. A bias or groups can make it
  another choice than the highest scores; MoEScope shows the model's choice.

{captured} of {tried} architectures are captured and verified.

| architecture | loaded as | status | score function | selection | experts | k | notes |
|---|---|---|---|---|---|---|---|
"""
_NOT_TRIED = """
## Without routers of text

Classes that speak of experts or routers, and are none that route tokens of a text:

| package | why not |
|---|---|
"""


@cache
def outcome(package: str) -> LoadedModel | str:
    """The package's tiny model, saved and loaded as a user's would be, or why it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        ARCHITECTURES[package].build().save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        spec = ModelSpec(package, folder, local=True)
        try:
            return load_model(spec, torch.float32, threading.Lock())
        except ModelLoadError as error:
            return str(error)


def models_page() -> str:
    """The page's content."""
    rows = [_row(package) for package in sorted(ARCHITECTURES)]
    captured = sum(isinstance(outcome(package), LoadedModel) for package in ARCHITECTURES)
    head = _HEAD.format(version=transformers.__version__, captured=captured, tried=len(rows))
    others = "".join(f"| {name} | {why} |\n" for name, why in sorted(NOT_BUILT.items()))
    return head + "".join(rows) + _NOT_TRIED + others


def _row(package: str) -> str:
    found = outcome(package)
    experts, k = (str(value) if value else "–" for value in defaults(package))
    if isinstance(found, str):
        return f"| {package} | – | **refused** | – | – | {experts} | {k} | {found} |\n"
    cells = (
        package,
        found.identity.architecture,
        "captured, verified",
        ", ".join(sorted({site.score_function for site in found.sites})),
        ", ".join(sorted({site.selection for site in found.sites})),
        experts,
        k,
        "; ".join(found.notes),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(models_page(), encoding="utf-8")
