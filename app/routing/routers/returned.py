"""Most families: the router returns (logits, combine weights, chosen experts, …)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.routers.base import RouterOutput, Sink, assemble

Named = str | Callable[[nn.Module], str]


def named(value: Named, module: nn.Module) -> str:
    """A name that is fixed for the family, or depends on the router's configuration."""
    return value if isinstance(value, str) else value(module)


@dataclass(frozen=True)
class Returned:
    """Takes experts and weights as returned, because recomputing them goes wrong: biases,
    groups and tables decide the choice in many families, not the scores alone."""

    score: Named = "softmax"
    chosen: Named = "top-k"
    proportional: bool = True

    def score_function(self, module: nn.Module) -> str:
        return named(self.score, module)

    def selection(self, module: nn.Module) -> str:
        return named(self.chosen, module)

    def recorded(self, output: RouterOutput) -> Tensor | None:
        return output.logits

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        score = self.score_function(module)

        def read(_module: nn.Module, _inputs: Any, output: tuple[Tensor, ...]) -> None:
            logits, weights, experts = output[:3]
            sink(assemble(logits, experts, weights, score))

        return [module.register_forward_hook(read)]


@dataclass(frozen=True)
class ReturnedProbabilities(Returned):
    """Gemma 4: the first output is the softmax already; its logits are its projection's."""

    proportional: bool = False  # each expert has a scale of its own

    def recorded(self, output: RouterOutput) -> Tensor | None:
        return output.probabilities

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        score, logits = self.score_function(module), list[Tensor]()

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            logits.append(output)

        def read(_module: nn.Module, _inputs: Any, output: tuple[Tensor, ...]) -> None:
            _probabilities, weights, experts = output[:3]
            sink(assemble(logits.pop(), experts, weights, score))

        projection: nn.Module = module.proj  # type: ignore[assignment]
        return [projection.register_forward_hook(keep), module.register_forward_hook(read)]
