"""The experts of all router layers of a stack in one row: each has a slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.corpus.counting.batch import LayerShape, RoutedBatch

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Numbers the experts of L layers from 0 to S − 1, layer by layer.

    Layers may differ in their number of experts, and one array [S] still holds them all.
    """

    layers: tuple[LayerShape, ...]

    @cached_property
    def offsets(self) -> Ints:
        """The slot of each layer's expert 0, int64 [L + 1], S at the end."""
        return np.cumsum([0, *(layer.num_experts for layer in self.layers)], dtype=np.int64)

    @property
    def size(self) -> int:
        """S."""
        return int(self.offsets[-1])

    @cached_property
    def layer_of(self) -> Ints:
        """The layer of each slot, int64 [S]."""
        return np.repeat(np.arange(len(self.layers)), np.diff(self.offsets))

    @cached_property
    def expert_of(self) -> Ints:
        """The number of each slot's expert in its layer, int64 [S]."""
        return np.arange(self.size) - self.offsets[self.layer_of]

    def part(self, layer: int) -> slice:
        """The slots of one layer. ValueError for a layer that is not there."""
        if not 0 <= layer < len(self.layers):
            raise ValueError(f"there is no router layer {layer}")
        return slice(int(self.offsets[layer]), int(self.offsets[layer + 1]))

    def slot(self, layer: int, expert: int) -> int:
        """The slot of one expert. ValueError for one that is not there."""
        part = self.part(layer)
        if not 0 <= expert < part.stop - part.start:
            raise ValueError(f"router layer {layer} has no expert {expert}")
        return int(self.offsets[layer]) + expert

    def check(self, batch: RoutedBatch) -> None:
        """ValueError unless the batch is of these layers, its arrays of one length."""
        n = len(batch.token_ids)
        per_token = (batch.document_of, batch.positions, batch.special, batch.spans)
        if any(len(values) != n for values in per_token):
            raise ValueError("the arrays of a batch differ in length")
        if len(batch.layers) != len(self.layers):
            raise ValueError(f"{len(batch.layers)} router layers where {len(self.layers)} belong")
        if n and not 0 <= batch.document_of.min() <= batch.document_of.max() < len(batch.documents):
            raise ValueError("a token belongs to no document of its batch")
        if n and batch.positions.min() < 0:
            raise ValueError("a token's place in its document is negative")
        for shape, layer in zip(self.layers, batch.layers, strict=True):
            shapes = (layer.experts.shape, layer.probabilities.shape, layer.dropped.shape)
            if shapes != ((n, shape.top_k), (n, shape.num_experts), (n,)):
                raise ValueError(f"the routing of {shape.name} has another shape: {shapes}")
            if n and not 0 <= layer.experts.min() <= layer.experts.max() < shape.num_experts:
                raise ValueError(f"{shape.name} has no such expert")
