"""Switch Transformers: top-1 routers with a capacity (Fedus et al. 2021, §2).

Not supported: transformers below 5.18, whose Switch router returns a probability where
its logits should be and ignores the capacity (transformers issue #48293).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
import transformers
from packaging.version import Version
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from app.routing.errors import ModelLoadError
from app.routing.routers.base import RouterOutput, RouterSite
from app.routing.trace import Stack

FIRST_RIGHT_VERSION = Version("5.18")
_ROUTER = re.compile(r"^(encoder|decoder)\.block\.(\d+)\.layer\.\d+\.mlp\.router$")


def check_library(version: str) -> None:
    """Raises ModelLoadError for a transformers version whose Switch router is wrong."""
    if Version(version) < FIRST_RIGHT_VERSION:
        raise ModelLoadError(
            f"transformers {version} computes Switch routing wrongly "
            f"(logits and capacity, issue #48293): install {FIRST_RIGHT_VERSION} or newer"
        )


class SwitchReader:
    """Reads `SwitchTransformersTop1Router`: logits from its classifier, drops from its mask."""

    def __init__(self, model: PreTrainedModel) -> None:
        check_library(transformers.__version__)
        self.sites = tuple(_find(model))
        if not self.sites:
            raise ModelLoadError("the model has no routers: all its layers are dense")

    def attach(
        self, site: RouterSite, sink: Callable[[RouterOutput], None]
    ) -> list[RemovableHandle]:
        logits: list[Tensor] = []

        def keep_logits(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            logits.append(output.detach().float())

        def read(
            _module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
        ) -> None:
            sink(read_output(logits.pop(), output[0], output[1], inputs[0].dtype))

        classifier: nn.Module = site.module.classifier  # type: ignore[assignment]
        return [
            classifier.register_forward_hook(keep_logits),
            site.module.register_forward_hook(read),
        ]


def read_output(
    logits: Tensor, dispatch: Tensor, top_probability: Tensor, dtype: torch.dtype
) -> RouterOutput:
    """From the classifier's logits [B, S, E], the dispatch mask [B, S, E] and p₍₁₎ [B, S, 1].

    The chosen expert comes from the logits, because a dropped token's mask is all zero
    and its argmax would read as expert 0. Probabilities are rounded to `dtype` before the
    argmax, as the library does: in bfloat16 that decides near ties.
    """
    probabilities = logits.softmax(dim=-1)
    experts = probabilities.to(dtype).argmax(dim=-1, keepdim=True)
    dropped = dispatch.sum(dim=-1) == 0
    weights = top_probability.detach().float().masked_fill(dropped.unsqueeze(-1), 0.0)
    return RouterOutput(logits, probabilities, experts, weights, dropped)


def _find(model: PreTrainedModel) -> list[RouterSite]:
    sites = []
    for name, module in model.named_modules():
        match = _ROUTER.match(name)
        if match:
            stack: Stack = "encoder" if match[1] == "encoder" else "decoder"
            sites.append(
                RouterSite(
                    name=name,
                    stack=stack,
                    block=int(match[2]),
                    module=module,
                    num_experts=int(module.num_experts),
                    top_k=1,
                    capacity=int(module.expert_capacity),
                    score_function="softmax",
                )
            )
    return sorted(sites, key=lambda site: (site.stack != "encoder", site.block))
