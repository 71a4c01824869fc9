"""What the benchmarks run with: the model, texts of a given length, and the machine's name."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.settings import load_settings

_WORDS = (
    "A router reads each token and sends it to one of eight experts, so that most of the "
    "network rests while a small part of it works on the words at hand. "
)
_LIBRARIES = ("torch", "transformers", "numpy", "dash", "plotly", "mlflow")


@functools.cache
def default_model() -> LoadedModel:
    """The model that the app would open with."""
    settings = load_settings()
    registry = ModelRegistry(settings.model_specs(), settings.dtype, settings.threads)
    return registry.get(registry.default, wait=600)


def max_tokens() -> int:
    """The app's limit."""
    return load_settings().max_tokens


def text_of(tokens: int) -> str:
    """The longest beginning of a prose text that has at most so many tokens."""
    tokenizer = default_model().tokenizer
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
