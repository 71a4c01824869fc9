"""ZAYA: one class of the router is «skip», which the library returns as expert 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.errors import TraceError
from app.routing.routers.base import Sink, assemble, number
from app.routing.routers.returned import Returned


@dataclass(frozen=True)
class Skipping(Returned):
    """Keeps the skip class as the last expert, with the weight 0 that it has.

    A token that skips is returned as expert 0 with weight 0, so the choice is made again
    as the library makes it (softmax plus balancing bias), and must agree with what was
    returned wherever the token did not skip. Raises TraceError if it does not.
    """

    proportional: bool = False  # a skipped token's weight is 0

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        score, k = self.score_function(module), number(module, "top_k")

        def read(_module: nn.Module, _inputs: Any, output: tuple[Tensor, ...]) -> None:
            logits, weights, returned = output[:3]
            biases: Tensor = module.balancing_biases  # type: ignore[assignment]
            experts = (logits.softmax(dim=-1).float() + biases).topk(k, dim=-1).indices
            skips = experts == logits.shape[-1] - 1
            if not torch.equal(experts.masked_fill(skips, 0), returned):
                raise TraceError("the router's choice can't be told from its logits")
            sink(assemble(logits, experts, weights, score))

        return [module.register_forward_hook(read)]
