"""NLLB-MoE: top-2 routers with a capacity that grows with the batch (Costa-jussà et al. 2022).

Not supported: `second_expert_policy` «sampling» or «random», which draw the second expert
by chance even outside training.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.errors import ModelLoadError
from app.routing.routers.base import RouterOutput, Sink, number
from app.routing.routers.returned import Returned


@dataclass(frozen=True)
class Nllb(Returned):
    """Reads `NllbMoeTop2Router`, which returns the first choice's mask, weights [R, E], logits.

    The second choice is the best of the other logits. Either choice can be over capacity
    alone and then has weight 0; the token is dropped when both are.
    """

    proportional: bool = False  # a choice over capacity has weight 0

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:  # noqa: ARG002
        if module.second_expert_policy in ("sampling", "random"):
            raise ModelLoadError(
                f"its second expert is drawn by chance ({module.second_expert_policy}), "
                "so no routing could be told twice the same"
            )

        def read(
            _module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
        ) -> None:
            _first, combine, raw = output
            logits = raw.detach().float()
            probabilities = logits.softmax(dim=-1)
            first = probabilities.to(inputs[0].dtype).argmax(dim=-1, keepdim=True)
            second = logits.scatter(1, first, float("-inf")).argmax(dim=-1, keepdim=True)
            experts = first.new_zeros(len(first), 2)
            experts[:, :1], experts[:, 1:] = first, second
            weights = combine.detach().float().gather(1, experts)
            dropped = (weights == 0).all(dim=-1)
            capacity = number(module, "expert_capacity")
            sink(RouterOutput(logits, probabilities, experts, weights, dropped, capacity))

        return [module.register_forward_hook(read)]
