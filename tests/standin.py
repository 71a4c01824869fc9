"""A stand-in for google/switch-base-8: its exact configuration and size, random weights.

Its routers are as sure of themselves as those of the real model, whose chosen experts have
0.70 to 0.76 of the probability on average in the first four router layers, 0.98 in the last
two (tests/data/switch-base-8-routing.json): logits with a standard deviation of 4 give the
former. Seventeen tokens use five or six experts of each layer, in the real model six to eight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
)

from app.settings import BUNDLED_FOLDER

CONFIG: dict[str, Any] = {
    "architectures": ["SwitchTransformersForConditionalGeneration"],
    "model_type": "switch_transformers",
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_heads": 12,
    "num_layers": 12,
    "num_decoder_layers": 12,
    "num_sparse_encoder_layers": 6,
    "num_sparse_decoder_layers": 6,
    "encoder_sparse_step": 2,
    "decoder_sparse_step": 2,
    "num_experts": 8,
    "expert_capacity": 64,
    "router_bias": False,
    "router_dtype": "float32",
    "router_ignore_padding_tokens": False,
    "router_jitter_noise": 0.01,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
    "is_encoder_decoder": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
SHARDS = 4
_ROUTER_LOGITS = 4.0
_ATTENTION = 0.25


def write_standin(folder: Path, dtype: torch.dtype) -> int:
    """Writes configuration, the bundled tokenizer and weights; gives back their number.

    A few hundred megabytes at a time, 2.5 GB in float32. Seeded.
    """
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    AutoTokenizer.from_pretrained(BUNDLED_FOLDER).save_pretrained(folder)
    with torch.device("meta"):
        model = SwitchTransformersForConditionalGeneration(SwitchTransformersConfig(**CONFIG))
    tied = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    shapes = {name: w.shape for name, w in model.state_dict().items() if name not in tied}
    names = list(shapes)
    generator = torch.Generator().manual_seed(8)
    where: dict[str, str] = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        tensors = {}
        for name in names[shard::SHARDS]:
            tensor = torch.ones(shapes[name], dtype=dtype)
            if tensor.ndim == 2:
                tensor.normal_(0, _scale(name, shapes[name]), generator=generator)
            tensors[name] = tensor
            where[name] = file
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = json.dumps({"metadata": {}, "weight_map": where})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return sum(shape.numel() for shape in shapes.values())


def _scale(name: str, shape: torch.Size) -> float:
    """Standard deviation of a matrix: such that what comes out is of the size of what goes in."""
    usual = float(shape[-1] ** -0.5)
    if name == "shared.weight":
        return 1.0
    if name.endswith("router.classifier.weight"):
        return _ROUTER_LOGITS * usual
    if name.endswith(".q.weight"):
        # The library does not divide the products of queries and keys, so queries are small.
        return usual * float(CONFIG["d_kv"] ** -0.5)
    # Random attention takes a mean of all tokens: at full strength they would become alike,
    # and after a few layers choose the same few experts.
    return usual * _ATTENTION if name.endswith(".o.weight") else usual
