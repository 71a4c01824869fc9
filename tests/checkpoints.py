"""Checkpoints of one training, and real passes over one corpus with them, for tests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from app.corpus.order import Order
from app.corpus.state import id_of
from app.passes import Passes
from app.settings import load_settings

WEIGHTS = "model.safetensors"


def write_checkpoint(final: Path, folder: Path, noise: float) -> Path:
    """The model of a folder as if less trained: its weights with `noise` times their spread.

    Seeded, so that more noise leads further the same way.
    """
    folder.mkdir(parents=True)
    for file in final.iterdir():
        if file.name != WEIGHTS:
            shutil.copy(file, folder / file.name)
    generator = torch.Generator().manual_seed(5)
    weights = load_file(final / WEIGHTS)
    for name, values in weights.items():
        if values.ndim == 2:
            drawn = torch.randn(values.shape, generator=generator)
            weights[name] = values + noise * values.std() * drawn
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def make_passes(
    data: Path,
    corpus: Path,
    models: Mapping[str, Path],
    tokens: bool = True,
    labels: tuple[str, ...] = ("domain",),
    max_tokens: int = 64,
) -> dict[str, str]:
    """Runs each model over a corpus; gives the passes' ids by the models' names."""
    named = ",".join(f"{name}={folder}" for name, folder in models.items())
    passes = Passes(load_settings(MOESCOPE_DATA_DIR=data, MOESCOPE_MODELS=named))
    made = {}
    for name in models:
        order = Order((str(corpus),), "text", labels, name, max_tokens, corpus.name, tokens)
        made[name] = id_of(order)
        passes.library.submit(made[name], order, corpus.stat().st_size)
        assert passes.go_on(made[name], lambda _progress: None)
    return made
