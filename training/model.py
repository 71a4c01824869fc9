"""The architecture of ``switch-mini-8`` and how it is initialised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersTop1Router,
)

from training import tokenizer

Model = SwitchTransformersForConditionalGeneration


def configuration() -> SwitchTransformersConfig:
    """Six blocks a side, every second one sparse with 8 experts, as in switch-base-8 in small."""
    settings: dict[str, Any] = {
        "vocab_size": tokenizer.VOCABULARY, "d_model": 256, "d_kv": 32, "num_heads": 8, "d_ff": 448,
        "num_layers": 6, "num_sparse_encoder_layers": 3,
        "num_decoder_layers": 6, "num_sparse_decoder_layers": 3,
        "num_experts": 8, "expert_capacity": 64,
        "router_jitter_noise": 0.01, "router_dtype": "float32",
        "dropout_rate": 0.0, "tie_word_embeddings": True,
        "pad_token_id": tokenizer.PAD, "eos_token_id": tokenizer.EOS,
        "decoder_start_token_id": tokenizer.PAD,
    }  # fmt: skip
    return SwitchTransformersConfig(**settings)


def build(seed: int) -> Model:
    """A fresh model.

    The library draws router weights with standard deviation 1: at this width the logits would
    have 16, the softmax would be one-hot from the first step and experts that lose would never
    get a gradient. The routers start small instead (Switch, §2.4: reduced initialisation), and
    each ``wo`` of an expert at d_ff^-0.5 like the dense ones.
    """
    torch.manual_seed(seed)
    model = Model(configuration())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("router.classifier.weight"):
                nn.init.normal_(weight, std=model.config.d_model**-0.5)
            elif ".experts." in name and name.endswith("wo.weight"):
                nn.init.normal_(weight, std=model.config.d_ff**-0.5)
    return model


def routers(model: nn.Module) -> dict[str, SwitchTransformersTop1Router]:
    """Every router by its module path, encoder first, from the bottom up."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SwitchTransformersTop1Router)
    }


class RouterLog(AbstractContextManager["RouterLog"]):
    """Collects what each router answered in the latest forward pass.

    ``logits[name]`` [batch, tokens, N] float32, still in the graph; ``kept[name]``
    [batch, tokens] bool, false where capacity left a token out.
    """

    def __init__(self, model: nn.Module) -> None:
        self.logits: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}
        self._handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in routers(model).items()
        ]

    def _hook(self, name: str) -> Callable[..., None]:
        def remember(_module: nn.Module, _inputs: object, output: tuple[Tensor, ...]) -> None:
            dispatch, _, logits = output
            self.logits[name] = logits
            self.kept[name] = dispatch.sum(-1) > 0

        return remember

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def keep_routers_in_float32(model: nn.Module, device: str) -> None:
    """Exempt the routers from autocast ("selective precision", Switch §2.4)."""
    for module in routers(model).values():
        module.forward = torch.autocast(device, enabled=False)(module.forward)  # type: ignore[method-assign]
