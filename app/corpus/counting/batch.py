"""What a pass over a corpus hands over: the routing of some whole documents, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.corpus.documents import Document


@dataclass(frozen=True)
class LayerShape:
    """One router layer of a stack. `capacity` is tokens per expert, None without a limit."""

    name: str
    stack: str
    block: int
    num_experts: int
    top_k: int
    capacity: int | None


@dataclass(frozen=True)
class RoutedLayer:
    """What one router layer did with the N tokens of a batch.

    `experts` int64 [N, k] by falling score, `probabilities` float32 [N, E], `dropped` bool [N].
    Probabilities are never NaN; those of sigmoid routers need not sum to 1.
    """

    experts: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    dropped: NDArray[np.bool_]


@dataclass(frozen=True)
class RoutedBatch:
    """The tokens of some documents one after another, each document whole and in one batch.

    `document_of` int64 [N] indexes `documents`, `positions` int64 [N] is the token's place in its
    document, `token_ids` int64 [N], `special` bool [N] marks tokens that stand for no text,
    `spans` int64 [N, 2] are begin and end in the document's characters, −1 where unknown.
    `truncated` is how many of the documents were longer than the model's longest input.
    """

    documents: tuple[Document, ...]
    document_of: NDArray[np.int64]
    positions: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    special: NDArray[np.bool_]
    spans: NDArray[np.int64]
    layers: tuple[RoutedLayer, ...]
    truncated: int = 0
