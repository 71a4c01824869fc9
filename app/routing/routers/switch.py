"""Switch Transformers: top-1 routers with a capacity (Fedus et al. 2021, §2).

Not supported: transformers below 5.18, whose Switch router returns a probability where
its logits should be and ignores the capacity (transformers issue #48293).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from packaging.version import Version
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.errors import ModelLoadError
from app.routing.routers.base import RouterOutput, Sink, number
from app.routing.routers.returned import Returned

FIRST_RIGHT_VERSION = Version("5.18")


@cache
def check_library(version: str) -> None:
    """Raises ModelLoadError for a transformers version whose Switch router is wrong."""
    if Version(version) < FIRST_RIGHT_VERSION:
        raise ModelLoadError(
            f"transformers {version} computes Switch routing wrongly "
            f"(logits and capacity, issue #48293): install {FIRST_RIGHT_VERSION} or newer"
        )


@dataclass(frozen=True)
class Switch(Returned):
    """Reads `SwitchTransformersTop1Router`: logits from its classifier, drops from its mask."""

    proportional: bool = False  # k = 1: nothing to compare

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        check_library(transformers.__version__)
        logits: list[Tensor] = []

        def keep_logits(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            logits.append(output.detach().float())

        def read(
            _module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
        ) -> None:
            capacity = number(module, "expert_capacity")
            sink(read_output(logits.pop(), output[0], output[1], inputs[0].dtype, capacity))

        classifier: nn.Module = module.classifier  # type: ignore[assignment]
        return [
            classifier.register_forward_hook(keep_logits),
            module.register_forward_hook(read),
        ]


def read_output(
    logits: Tensor, dispatch: Tensor, top_probability: Tensor, dtype: torch.dtype, capacity: int
) -> RouterOutput:
    """From the classifier's logits [B, S, E], the dispatch mask [B, S, E] and p₍₁₎ [B, S, 1].

    The chosen expert comes from the logits, because a dropped token's mask is all zero
    and its argmax would read as expert 0. Probabilities are rounded to `dtype` before the
    argmax, as the library does: in bfloat16 that decides near ties.
    """
    logits = logits.flatten(0, 1)
    probabilities = logits.softmax(dim=-1)
    experts = probabilities.to(dtype).argmax(dim=-1, keepdim=True)
    dropped = dispatch.flatten(0, 1).sum(dim=-1) == 0
    weights = top_probability.detach().flatten(0, 1).float()
    return RouterOutput(
        logits,
        probabilities,
        experts,
        weights.masked_fill(dropped.unsqueeze(-1), 0.0),
        dropped,
        capacity,
    )
