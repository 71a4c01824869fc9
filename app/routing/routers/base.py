"""What every router family must offer to be captured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from app.routing.trace import Stack


@dataclass(frozen=True)
class RouterSite:
    """A router inside a model: its module path, place, and size."""

    name: str
    stack: Stack
    block: int
    module: nn.Module
    num_experts: int
    top_k: int
    capacity: int | None
    score_function: str


@dataclass(frozen=True)
class RouterOutput:
    """One call of a router on a batch of B sequences of S tokens, padding included.

    `logits`, `probabilities` float32 [B, S, E]; `experts` int64 [B, S, k];
    `weights` float32 [B, S, k]; `dropped` bool [B, S].
    """

    logits: Tensor
    probabilities: Tensor
    experts: Tensor
    weights: Tensor
    dropped: Tensor


class RouterReader(Protocol):
    """Finds a family's routers and reads them while the model runs."""

    sites: tuple[RouterSite, ...]

    def attach(
        self, site: RouterSite, sink: Callable[[RouterOutput], None]
    ) -> list[RemovableHandle]:
        """Calls `sink` at every call of the site's router until the handles are removed."""
        ...
