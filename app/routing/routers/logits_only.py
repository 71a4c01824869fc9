"""Routers that tell only their logits: the choice is made as the library makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.routers.base import RouterOutput, Sink, assemble, number
from app.routing.routers.returned import Returned


@dataclass(frozen=True)
class LogitsOnly(Returned):
    """`pick(output)` finds the logits; experts are their top-k, `weigh` makes the weights.

    For Llama 4 (sigmoid of the chosen logits) and JetMoE (softmax of them), whose k is the
    router's `top_k`.
    """

    pick: Callable[[Any], Tensor] = lambda output: output
    weigh: Callable[[Tensor], Tensor] = lambda chosen: chosen.softmax(dim=-1)

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        score, k = self.score_function(module), number(module, "top_k")

        def read(_module: nn.Module, _inputs: Any, output: Any) -> None:
            logits = self.pick(output)
            chosen, experts = logits.topk(k, dim=-1)
            sink(assemble(logits, experts, self.weigh(chosen.float()), score))

        return [module.register_forward_hook(read)]


@dataclass(frozen=True)
class HandedToExperts(Returned):
    """DBRX: the router returns logits, its block chooses and hands the choice to `experts`."""

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:
        score, logits = self.score_function(module), list[Tensor]()

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            logits.append(output)

        def read(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            _hidden, experts, weights = inputs
            sink(assemble(logits.pop(), experts, weights, score))

        block: nn.Module = parent.experts  # type: ignore[assignment]
        return [module.register_forward_hook(keep), block.register_forward_pre_hook(read)]


@dataclass(frozen=True)
class ProductKeys(Returned):
    """Doge: two sets of √E keys; an expert's logit is the sum of its two keys' logits.

    The block returns (hidden states, key logits [2, R, √E]). With all keys kept, the
    library's choice over pairs of keys is the top-k over these sums. The weights are the
    softmax over the chosen sums, so their normalisation changes nothing.
    """

    def recorded(self, output: RouterOutput) -> Tensor | None:  # noqa: ARG002
        return None  # the library records the keys' logits

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        score, k = self.score_function(module), number(module, "top_k")

        def read(_module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
            first, second = output[1]
            logits = (first.unsqueeze(-1) + second.unsqueeze(-2)).flatten(1)
            chosen, experts = logits.topk(k, dim=-1)
            sink(assemble(logits, experts, chosen.float().softmax(dim=-1), score))

        return [module.register_forward_hook(read)]
