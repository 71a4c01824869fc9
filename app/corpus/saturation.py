"""Router saturation: how many of a token's experts two passes over one corpus have in common.

Of two checkpoints of one training it tells how far the earlier one's routing is settled
(Muennighoff et al. 2024, OLMoE, arXiv 2409.02060, §5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.corpus.counting.batch import LayerShape
from app.corpus.counting.layout import Floats, Ints
from app.corpus.counting.ratios import ratio
from app.corpus.counting.resamples import RESAMPLES, weights
from app.corpus.parts import experts_column

# Tokens compared at a time; k² comparisons of each are in memory.
_ROWS = 16384
_TOKEN = ("document", "position", "token_id")

Tell = Callable[[float], None]
Stop = Callable[[], bool]


class DifferentTokensError(ValueError):
    """The passes did not read the same tokens in the same order."""

    def __init__(self) -> None:
        super().__init__("the two passes read different tokens")


@dataclass(frozen=True)
class LayerSaturation:
    """Mean |E_t(a) ∩ E_t(b)| / k of one layer, in [0, 1], with its interval.

    `chance` is what the loads of the two alone give. NaN where undefined.
    """

    share: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Saturation:
    """Two passes compared token by token, layer by layer."""

    tokens: int
    documents: int
    layers: tuple[LayerSaturation, ...]


def saturation(
    a: Sequence[Path],
    b: Sequence[Path],
    shape: Sequence[LayerShape],
    tell: Tell = lambda _share: None,
    stop: Stop = lambda: False,
) -> Saturation | None:
    """Compares the parts of two passes (`TokenWriter`), wherever each is cut; symmetric.

    Memory does not grow with the tokens. `tell` is given the share that is done, `stop` asked
    again and again; None once it says so. What the routers chose counts, also where the token
    was dropped. Raises DifferentTokensError, and OSError or pyarrow.ArrowException for files
    that can't be read.
    """
    rows = [sum(pq.read_metadata(file).num_rows for file in files) for files in (a, b)]
    if rows[0] != rows[1]:
        raise DifferentTokensError
    overlap, done = Overlap(shape), 0
    names = [experts_column(layer) for layer in shape]
    for mine, its in _aligned(a, b, [*_TOKEN, *names]):
        if stop():
            return None
        if not all(mine[name].equals(its[name]) for name in _TOKEN):
            raise DifferentTokensError
        overlap.add(
            mine["document"].to_numpy(),
            mine["position"].to_numpy(),
            [_experts(mine[name]) for name in names],
            [_experts(its[name]) for name in names],
        )
        done += len(mine)
        tell(done / rows[0])
    return overlap.result()


class Overlap:
    """Sums over tokens that two passes have in common, and over what each chose.

    The interval is a percentile one of the Poisson bootstrap over documents (`resamples`).
    """

    def __init__(self, shape: Sequence[LayerShape], seed: int = 0) -> None:
        self._shape = shape
        self._seed = seed
        self._tokens = self._documents = 0
        self._common: Ints = np.zeros(len(shape), dtype=np.int64)
        self._loads = [np.zeros((2, layer.num_experts), dtype=np.int64) for layer in shape]
        self._drawn_tokens: Floats = np.zeros(RESAMPLES)
        self._drawn_common: Floats = np.zeros((RESAMPLES, len(shape)))

    def add(
        self,
        documents: Ints,
        positions: NDArray[np.integer],
        a: Sequence[NDArray[np.integer]],
        b: Sequence[NDArray[np.integer]],
    ) -> None:
        """Counts tokens: the document and place of each, int [n], and of each layer its experts
        in both passes, int [n, k]. A document may come in pieces."""
        numbers, member = np.unique(documents, return_inverse=True)
        drawn = weights(self._seed, numbers)
        self._tokens += len(documents)
        self._documents += int((positions == 0).sum())
        self._drawn_tokens += np.bincount(member, minlength=len(numbers)) @ drawn
        for layer, (mine, its) in enumerate(zip(a, b, strict=True)):
            common = (mine[:, :, None] == its[:, None, :]).sum(axis=(1, 2))
            by_document = np.bincount(member, common, len(numbers))
            self._common[layer] += common.sum()
            self._drawn_common[:, layer] += by_document @ drawn
            for load, experts in zip(self._loads[layer], (mine, its), strict=True):
                load += np.bincount(experts.ravel(), minlength=len(load))

    def result(self, level: float = 0.95) -> Saturation:
        """What was counted so far. No interval for fewer than two documents.

        The chance level is k Σ_i f_i(a) f_i(b), f the loads: what the share is on average when
        one pass' choices are dealt to other tokens (each expert i is among a token's with
        probability k f_i), k/N where the loads are balanced.
        """
        k = np.array([layer.top_k for layer in self._shape])
        share = ratio(self._common, k * self._tokens)
        low = high = np.full(len(k), np.nan)
        if self._documents > 1:
            drawn = ratio(self._drawn_common, k * self._drawn_tokens[:, None])
            low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        loads = [ratio(load, load.sum(axis=1, keepdims=True)) for load in self._loads]
        chance = [each * float(load[0] @ load[1]) for each, load in zip(k, loads, strict=True)]
        found = zip(share.tolist(), low.tolist(), high.tolist(), chance, strict=True)
        layers = tuple(LayerSaturation(*map(float, values)) for values in found)
        return Saturation(self._tokens, self._documents, layers)


def _aligned(
    a: Sequence[Path], b: Sequence[Path], columns: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Stretches of rows of both, equally long, though their parts end in different places."""
    others = _stretches(b, columns)
    its = next(others, None)
    for mine in _stretches(a, columns):
        while len(mine) and its is not None:
            rows = min(len(mine), len(its))
            yield mine.slice(0, rows), its.slice(0, rows)
            mine, its = mine.slice(rows), its.slice(rows)
            if not len(its):
                its = next(others, None)


def _stretches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            yield from opened.iter_batches(_ROWS, columns=list(columns))


def _experts(column: pa.FixedSizeListArray) -> NDArray[np.int16]:
    # Not `.values`, which knows nothing of slices.
    found: NDArray[np.int16] = column.flatten().to_numpy().reshape(len(column), -1)
    return found
