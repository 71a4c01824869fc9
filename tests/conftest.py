"""What tests share: the bundled model, variants of it, and tiny models made on the spot."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    PreTrainedTokenizerFast,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
)

from app.routing.loaded import LoadedModel
from app.routing.models import load_model
from app.settings import BUNDLED_FOLDER, BUNDLED_MODEL, ModelSpec
from tests.standin import write_standin

# What the shell of whoever runs the tests has set must not decide how they end.
for _name in [n for n in os.environ if n.startswith(("MOESCOPE_", "MLFLOW_", "MINIO_"))]:
    del os.environ[_name]

torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


def load(folder: Path, name: str = "test", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A model of a local folder, by the app's own code, with a lock of its own."""
    return load_model(ModelSpec(name, str(folder), local=True), dtype, threading.Lock())


@pytest.fixture(scope="session")
def loaded() -> LoadedModel:
    """The bundled model in float32."""
    return load(BUNDLED_FOLDER, BUNDLED_MODEL)


@pytest.fixture(scope="session")
def loaded_bf16() -> LoadedModel:
    """The bundled model in bfloat16, where near ties are decided by rounding."""
    return load(BUNDLED_FOLDER, BUNDLED_MODEL, torch.bfloat16)


@pytest.fixture(scope="session")
def bundled_variant(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder with the bundled weights under a changed configuration."""

    def make(**changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("variant")
        for path in BUNDLED_FOLDER.iterdir():
            if path.name != "config.json":
                (folder / path.name).symlink_to(path)
        config = json.loads((BUNDLED_FOLDER / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def scarce(bundled_variant: Callable[..., Path]) -> LoadedModel:
    """The bundled model with room for two tokens per expert, so that tokens are dropped."""
    return load(bundled_variant(expert_capacity=2), "scarce")


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a model of the size of google/switch-base-8, over a gigabyte."""
    folder = tmp_path_factory.mktemp("standin") / "switch base 8"
    folder.mkdir()
    assert round(write_standin(folder, torch.bfloat16) / 1e6) == 619
    yield folder
    shutil.rmtree(folder)  # which pytest would keep


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, `</s>` at the end: knows every text and needs no file."""
    special = ["<pad>", "</s>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(special + alphabet)}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def tiny_switch(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the folder of a tiny Switch with random weights, seeded; fields may be changed."""

    def make(**changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("tiny")
        tokenizer = byte_tokenizer()
        fields = {
            "vocab_size": len(tokenizer),
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 32,
            "num_heads": 2,
            "num_layers": 4,
            "num_sparse_encoder_layers": 2,
            "num_decoder_layers": 2,
            "num_sparse_decoder_layers": 1,
            "num_experts": 4,
            "expert_capacity": 64,
            "decoder_start_token_id": 0,
        }
        torch.manual_seed(7)
        model = SwitchTransformersForConditionalGeneration(
            SwitchTransformersConfig(**(fields | changes))
        )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make
