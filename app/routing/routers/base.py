"""What a way of reading routers must offer, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from app.routing.trace import Stack

# What makes scores of logits, by the name that trace, CSV and page give it. «Of the top-k»:
# weights come from the chosen logits alone; the score shown is that over all experts, which
# has the same order.
SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "softmax of the top-k": lambda logits: logits.softmax(dim=-1),
    "sparsemixer": lambda logits: logits.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "sigmoid of the top-k": torch.sigmoid,
    "sqrt-softplus": lambda logits: F.softplus(logits).sqrt(),
}


@dataclass(frozen=True)
class RouterOutput:
    """One call of a router on R rows: batch × sequence flattened, padding included.

    `logits`, `probabilities` float32 [R, E]; `experts` int64 [R, k] by falling score;
    `weights` float32 [R, k]; `dropped` bool [R]; `capacity` in tokens, None without one.
    """

    logits: Tensor
    probabilities: Tensor
    experts: Tensor
    weights: Tensor
    dropped: Tensor
    capacity: int | None = None


Sink = Callable[[RouterOutput], None]


class Reading(Protocol):
    """A way of reading a router's output while the model runs.

    `proportional`: the combine weights stand to each other as the scores do, which is
    checked when a model is loaded.
    """

    @property
    def proportional(self) -> bool: ...

    def score_function(self, module: nn.Module) -> str:
        """One of `SCORES`."""
        ...

    def selection(self, module: nn.Module) -> str:
        """How experts are chosen by their scores; «top-k» when nothing else counts."""
        ...

    def recorded(self, output: RouterOutput) -> Tensor | None:
        """What the library's own `output_router_logits` must hold, None if it can't be told."""
        ...

    def attach(self, module: nn.Module, parent: nn.Module, sink: Sink) -> list[RemovableHandle]:
        """Calls `sink` at every call of the router until the handles are removed."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A router inside a model before anything has run: where it is, how it would be read."""

    name: str
    stack: Stack
    block: int
    module: nn.Module
    parent: nn.Module
    reading: Reading

    def attach(self, sink: Sink) -> list[RemovableHandle]:
        """Calls `sink` at every call of the router until the handles are removed."""
        return self.reading.attach(self.module, self.parent, sink)


@dataclass(frozen=True)
class RouterSite(Candidate):
    """A router that has run: its module path, place, size, and how it is read.

    `capacity` is None where the router has none, or where it depends on the text.
    """

    num_experts: int
    top_k: int
    capacity: int | None
    score_function: str
    selection: str


def number(module: nn.Module, name: str) -> int:
    """An attribute of a router as an int."""
    return int(getattr(module, name))


def assemble(logits: Tensor, experts: Tensor, weights: Tensor, score_function: str) -> RouterOutput:
    """The output of a router without capacity, from what it returned, whatever the shapes.

    `logits` [..., E], `experts` and `weights` [..., k]. Choices are put in order of score:
    the library often leaves them as they came.
    """
    logits = logits.detach().reshape(-1, logits.shape[-1]).float()
    experts = experts.detach().reshape(len(logits), -1).long()
    weights = weights.detach().reshape(len(logits), -1).float()
    probabilities = SCORES[score_function](logits)
    order = probabilities.gather(1, experts).argsort(dim=1, descending=True, stable=True)
    return RouterOutput(
        logits=logits,
        probabilities=probabilities,
        experts=experts.gather(1, order),
        weights=weights.gather(1, order),
        dropped=torch.zeros(len(logits), dtype=torch.bool),
    )
