"""Holds a loaded model against the library's own: loaded by the library alone, never packed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import SwitchTransformersForConditionalGeneration

from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.packed import PackedLinear
from app.routing.packing import NOT_PACKED

LIMIT = 512


def plain_model(folder: Path) -> Any:
    """A Switch model as the library makes it."""
    model = SwitchTransformersForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def packed_layers(model: Any) -> int:
    """How many of its layers are packed."""
    return sum(isinstance(module, PackedLinear) for module in model.modules())


def compare(loaded: LoadedModel, plain: Any, texts: Sequence[str]) -> tuple[int, float]:
    """Choices that were compared, all of them equal, and the largest difference of logits."""
    assert NOT_PACKED not in loaded.notes
    assert packed_layers(loaded.model) > 50
    assert packed_layers(plain) == 0
    choices, worst = 0, 0.0
    for text in texts:
        trace = capture(loaded, text, LIMIT)
        ids = torch.tensor([trace.sequences["encoder"].token_ids.tolist()])
        with torch.inference_mode():
            recorded = plain(
                input_ids=ids, decoder_input_ids=torch.tensor([[0]]), output_router_logits=True
            ).encoder_router_logits
        assert len(recorded) == len(trace.layers)
        for layer, logits in zip(trace.layers, recorded, strict=True):
            expected = logits[0].numpy()
            assert layer.experts[:, 0].tolist() == expected.argmax(axis=1).tolist(), text
            worst = max(worst, float(np.abs(layer.logits - expected).max()))
            choices += len(expected)
    return choices, worst
