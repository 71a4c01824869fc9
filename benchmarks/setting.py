"""What the benchmarks run with: the model, texts of a given length, and the machine's name."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedModel

from app.routing.checkpoint import model_class, read_model
from app.routing.hub import download
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.settings import ModelSpec, load_settings
from tests.standin import write_standin

_WORDS = (
    "A router reads each token and sends it to one of eight experts, so that most of the "
    "network rests while a small part of it works on the words at hand. "
)
_LIBRARIES = ("torch", "transformers", "numpy", "dash", "plotly", "mlflow")


@functools.cache
def default_model() -> LoadedModel:
    """The model that the app would open with."""
    return loaded_model(default_spec())


def default_spec() -> ModelSpec:
    """Where that model comes from."""
    settings = load_settings()
    return settings.model_specs()[settings.default_model]


def loaded_model(spec: ModelSpec) -> LoadedModel:
    """A model as the app loads it, examined anew."""
    settings = load_settings()
    registry = ModelRegistry({spec.id: spec}, settings.dtype, settings.threads)
    return registry.get(spec.id, wait=600)


@functools.cache
def plain_model(spec: ModelSpec) -> PreTrainedModel:
    """The same weights as the library itself loads them in float32: what ours is held against."""
    folder = Path(spec.source) if spec.local else download(spec.source, lambda *_: None)
    return read_model(model_class(AutoConfig.from_pretrained(folder)), folder, torch.float32)


def standin() -> Path:
    """A folder with a model of the size of google/switch-base-8, in float32 as that is.

    Written at the first call, 2.5 GB among the temporary files; gone when the process ends.
    """
    return Path(_standin().name)


@functools.cache
def _standin() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="moescope-bench-")
    write_standin(Path(folder.name), torch.float32)
    return folder


def max_tokens() -> int:
    """The app's limit."""
    return load_settings().max_tokens


def text_of(tokens: int, loaded: LoadedModel | None = None) -> str:
    """The longest beginning of a prose text that has at most so many tokens."""
    tokenizer = (loaded or default_model()).tokenizer
    text = _WORDS * (tokens // 8 + 1)
    while len(tokenizer(text, verbose=False)["input_ids"]) > tokens:
        text = text[:-1]
    return text.strip()


def machine() -> dict[str, str]:
    """Processor, cores and versions: times mean nothing without them."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads for the model": str(load_settings().threads),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
