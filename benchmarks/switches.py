"""Switch Transformers of a shape that a benchmark needs, with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
)

from app.settings import BUNDLED_FOLDER

# Twelve router layers in the encoder, nothing to wait for.
DEEP = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 64,
    "num_heads": 4,
    "num_layers": 24,
    "num_sparse_encoder_layers": 12,
}
# About a quarter of a second for 64 tokens on one core of 2025.
SLOW = {
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_heads": 12,
    "num_layers": 24,
    "num_sparse_encoder_layers": 6,
}


def write_switch(folder: Path, **shape: Any) -> None:
    """A model and the bundled tokenizer; eight experts, and routers that are sure of
    themselves, so that there is something to draw."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_FOLDER)
    torch.manual_seed(5)
    fields: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "num_decoder_layers": 2,
        "num_sparse_decoder_layers": 1,
        "num_experts": 8,
        "expert_capacity": 64,
        "decoder_start_token_id": 0,
    }
    model: Any = SwitchTransformersForConditionalGeneration(
        SwitchTransformersConfig(**fields, **shape)
    )
    for name, weight in model.named_parameters():
        if name.endswith("router.classifier.weight"):
            torch.nn.init.normal_(weight, 0, 4 * weight.shape[-1] ** -0.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
