"""What is pinned on the page: one selection, shared by all figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.routing.trace import RouterLayer


@dataclass(frozen=True)
class Selection:
    """A token (with or without a layer), or an expert of a layer, or a flow into one.

    `layer` and `expert` count from 0. `source` is the expert of the layer before, for a
    flow between two layers. `stack` is the stack it was made in, where that was told.
    """

    token: int | None = None
    layer: int | None = None
    expert: int | None = None
    source: int | None = None
    stack: str | None = None

    def to_json(self) -> dict[str, int | str]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any] | None, layers: tuple[RouterLayer, ...]
    ) -> Selection | None:
        """None unless it names something that these layers have, in their stack if it names one."""
        if not data:
            return None
        stack = data.get("stack")
        if stack is not None and stack != layers[0].stack:
            return None
        names = ("token", "layer", "expert", "source")
        values = {name: data.get(name) for name in names}
        if any(value is not None and not isinstance(value, int) for value in values.values()):
            return None
        selection = cls(**values, stack=stack)
        return selection if selection._exists(layers) else None

    def _exists(self, layers: tuple[RouterLayer, ...]) -> bool:
        def inside(value: int | None, size: int) -> bool:
            return value is None or 0 <= value < size

        experts = layers[self.layer or 0].num_experts if inside(self.layer, len(layers)) else 0
        return (
            inside(self.layer, len(layers))
            and inside(self.token, len(layers[0].logits))
            and inside(self.expert, experts)
            and (self.token is not None or (self.expert is not None and self.layer is not None))
        )

    def tokens(self, layers: tuple[RouterLayer, ...]) -> NDArray[np.bool_]:
        """Which tokens it covers, bool [T]."""
        if self.token is not None:
            return np.equal(np.arange(len(layers[0].logits)), self.token)
        assert self.layer is not None
        mask: NDArray[np.bool_] = np.any(layers[self.layer].experts == self.expert, axis=1)
        if self.source is not None and self.layer > 0:
            mask &= np.any(layers[self.layer - 1].experts == self.source, axis=1)
        return mask


def covered(
    selection: Selection | None, layers: tuple[RouterLayer, ...]
) -> NDArray[np.bool_] | None:
    """The tokens a selection covers, or None when nothing is selected."""
    return None if selection is None else selection.tokens(layers)
