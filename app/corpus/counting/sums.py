"""One batch, summed by document and expert: all that most aggregates need of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.corpus.counting.batch import RoutedBatch
from app.corpus.counting.layout import Floats, Ints, Layout
from app.routing.metrics import distribution, entropy_bits


@dataclass(frozen=True)
class Sums:
    """Sums over the tokens of a batch of D documents, L layers and S slots.

    `numbers`, `tokens` int64 [D]; `assignments`, `dropped` (both whole numbers) and `confidence`
    float64 [D, S]; `probability` float64 [S]; `entropy` (bits) and `margin` float64 [L].
    """

    numbers: Ints
    tokens: Ints
    assignments: Floats
    dropped: Floats
    confidence: Floats
    probability: Floats
    entropy: Floats
    margin: Floats


def summed(batch: RoutedBatch, layout: Layout) -> Sums:
    """The sums of a batch. A dropped token counts for each expert that its router chose.

    Confidence of an expert sums the largest probability of each token assigned to it.
    """
    documents, layers = len(batch.documents), range(len(layout.layers))
    by_slot: Floats = np.zeros((3, documents, layout.size))
    probability: Floats = np.zeros(layout.size)
    per_layer: Floats = np.zeros((2, len(layout.layers)))
    for index, shape, layer in zip(layers, layout.layers, batch.layers, strict=True):
        p = shares(layer.probabilities)
        top, lead = _leads(p)
        part, experts = layout.part(index), shape.num_experts
        keys = (batch.document_of[:, None] * experts + layer.experts).ravel()
        for found, values in zip(by_slot, (None, layer.dropped, top), strict=True):
            weights = None if values is None else np.repeat(values, shape.top_k)
            counted = np.bincount(keys, weights, minlength=documents * experts)
            found[:, part] = counted.reshape(documents, experts)
        probability[part] = p.sum(axis=0)
        per_layer[:, index] = entropy_bits(p).sum(), lead.sum()
    numbers = np.array([document.number for document in batch.documents], dtype=np.int64)
    tokens = np.bincount(batch.document_of, minlength=documents)
    assignments, dropped, confidence = by_slot
    entropy, margin = per_layer
    return Sums(numbers, tokens, assignments, dropped, confidence, probability, entropy, margin)


def shares(probabilities: NDArray[np.float32]) -> Floats:
    """Each token's `distribution` over experts, float64 [N, E].

    Uniform where all its scores are 0: its router preferred no expert.
    """
    p = distribution(probabilities)
    return np.where(np.isnan(p), 1 / p.shape[1], p)


def _leads(p: Floats) -> tuple[Floats, Floats]:
    """The largest probability of each token and its lead over the next, NaN for one expert."""
    if p.shape[1] < 2:
        return p[:, 0], np.full(len(p), np.nan)
    two = np.partition(p, -2, axis=1)[:, -2:]
    return two[:, 1], two[:, 1] - two[:, 0]
