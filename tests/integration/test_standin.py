"""A stand-in for google/switch-base-8: its exact configuration and size, random weights."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration

from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.settings import load_settings

CONFIG = {
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
BLOCKS = [1, 3, 5, 7, 9, 11]
SHARDS = 4


def write_weights(folder: Path) -> int:
    """Writes the weights in bfloat16, a few hundred megabytes at a time; returns their number."""
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
            tensor = torch.ones(shapes[name], dtype=torch.bfloat16)
            if tensor.ndim == 2:
                scale = 1.0 if name == "shared.weight" else shapes[name][-1] ** -0.5
                tensor.normal_(0, scale, generator=generator)
            tensors[name] = tensor
            where[name] = file
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(shape.numel() for shape in shapes.values())


@pytest.fixture
def standin(tmp_path: Path, loaded: LoadedModel) -> Iterator[Path]:
    folder = tmp_path / "switch base 8"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    loaded.tokenizer.save_pretrained(folder)
    assert round(write_weights(folder) / 1e6) == 619
    yield folder
    shutil.rmtree(folder)  # over a gigabyte, which pytest would keep


@pytest.mark.slow
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
