"""Many texts in one pass: for corpora, where a trace of each would be too much to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.routing.capture import run_ids
from app.routing.loaded import LoadedModel
from app.routing.routers.base import RouterOutput
from app.routing.tracing import rows_of


def route(loaded: LoadedModel, sequences: Sequence[list[int]]) -> list[RouterOutput]:
    """What each router of the first stack did with the tokens of all sequences.

    Rows are the tokens of the first sequence, then those of the second, and so on, without
    padding. Capacity counts within each sequence, as if it ran alone. A model for which a
    trace would depend on its batch runs one by one. Raises TraceError.
    """
    groups = [list(sequences)] if loaded.batches else [[one] for one in sequences]
    with torch.inference_mode():
        passes = [_alone(loaded, group) for group in groups]
        return [_joined(outputs) for outputs in zip(*passes, strict=True)]


def _alone(loaded: LoadedModel, sequences: list[list[int]]) -> list[RouterOutput]:
    with loaded.lock:
        outputs = run_ids(loaded, sequences, [])
    rows = len(sequences)
    return [
        _joined([rows_of(output, row, rows, len(one)) for row, one in enumerate(sequences)])
        for output in outputs
    ]


def _joined(outputs: Sequence[RouterOutput]) -> RouterOutput:
    def all_of(part: Callable[[RouterOutput], Tensor]) -> Tensor:
        return torch.cat([part(output) for output in outputs])

    return RouterOutput(
        all_of(lambda output: output.logits),
        all_of(lambda output: output.probabilities),
        all_of(lambda output: output.experts),
        all_of(lambda output: output.weights),
        all_of(lambda output: output.dropped),
        outputs[0].capacity,
    )
