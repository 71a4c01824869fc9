"""A stand-in for google/switch-base-8: its exact configuration and size, random weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.routing.capture import capture
from app.routing.models import ModelRegistry
from app.settings import load_settings
from tests.against_library import compare, plain_model
from tests.conftest import load
from tests.texts import sentences

BLOCKS = [1, 3, 5, 7, 9, 11]


@pytest.mark.large
def test_a_checkpoint_of_full_size_is_loaded_and_traced(
    standin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOESCOPE_MODELS", f"base-8={standin}")
    settings = load_settings()
    models = ModelRegistry(settings.model_specs(), settings.dtype, settings.threads)
    model = models.get("base-8", wait=120)

    trace = capture(model, "Mixture of Experts routes tokens. " * 14, settings.max_tokens)
    tokens = len(trace.sequences["encoder"])
    assert tokens > 64
    assert trace.model.architecture == "SwitchTransformersForConditionalGeneration"
    assert trace.provenance["dtype"] == "float32"
    assert [layer.name for layer in trace.layers] == [
        f"encoder.block.{block}.layer.1.mlp.router" for block in BLOCKS
    ]
    for layer in trace.layers:
        assert (layer.num_experts, layer.top_k, layer.capacity) == (8, 1, 64)
        assert layer.logits.shape == (tokens, 8)
        # What no expert has room for, and nothing else, is dropped.
        taken = Counter(layer.experts[:, 0].tolist())
        assert layer.dropped.sum() == sum(max(0, count - 64) for count in taken.values())
        assert len(taken) > 1
    # The layers differ: each was read from its own router.
    for one, other in zip(trace.layers, trace.layers[1:], strict=False):
        assert not np.allclose(one.logits, other.logits)


@pytest.mark.large
def test_fifty_sentences_choose_as_in_the_librarys_own_forward(standin: Path) -> None:
    choices, worst = compare(load(standin), plain_model(standin), sentences(50))
    assert choices > 5_000
    assert worst <= 1e-4
