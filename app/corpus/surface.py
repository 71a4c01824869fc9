"""The tokens of a pass as a table to learn from: how they look, and which expert took them.

How much of the routing can be told from that, and how much needs the context? (Xue et al. 2024,
OpenMoE, arXiv 2402.01739, found choices that follow the token's id, with little regard to the
context.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.counting.batch import LayerShape
from app.corpus.counting.hashing import Purpose, mixed
from app.corpus.counting.layout import Ints
from app.corpus.parts import experts_column
from app.corpus.reading.source import Corpus
from app.corpus.token_features import Vocabulary, features

TARGET, GROUP = "expert", "document"
MOST_ROWS = 200_000
_ROWS = 65_536


class SurfaceError(ValueError):
    """A pass that gives no such table; the message is one line that users may see."""


@dataclass(frozen=True)
class Surface:
    """A row per token: `GROUP`, the document's number; the features (`FEATURES`, for the token
    before too, and the document's labels); and `TARGET`, the layer's first expert as text.

    Of `documents` with `tokens` in the pass these are `chosen` whole documents.
    """

    frame: pd.DataFrame
    documents: int
    tokens: int
    chosen: int


def surface(
    files: Sequence[Path],
    layer: LayerShape,
    vocabulary: Vocabulary,
    corpus: Corpus | None = None,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
) -> Surface:
    """The table of one router layer from the parts of a pass (`TokenWriter`).

    Documents are drawn at random, the same for every layer, as long as their tokens stay below
    `most_rows`; two at least. `corpus`: that of the pass, for the labels. What the router chose
    counts, also where the token was dropped. Raises SurfaceError, SourceError, and OSError or
    pyarrow.ArrowException for files that can't be read.
    """
    lengths = _lengths(files)
    there = np.flatnonzero(lengths)
    if len(there) < 2:
        raise SurfaceError(
            "routing is learnt from some documents and tried on others; the pass kept the tokens "
            f"of {'one document' if len(there) else 'none'}"
        )
    chosen = _drawn(lengths, there, most_rows, seed)
    documents, positions, token_ids, experts = _tokens(files, layer, chosen, len(lengths))
    labels = _labels(corpus, chosen, documents) if corpus else {}
    found = features(vocabulary, token_ids, positions, documents, labels)
    found.insert(0, GROUP, documents.astype(np.float64))
    found[TARGET] = pd.Series(experts.astype(str), dtype="str")
    return Surface(found, len(there), int(lengths.sum()), len(chosen))


def _lengths(files: Sequence[Path]) -> Ints:
    """How many tokens each document has, int64 by its number."""
    total: Ints = np.zeros(0, dtype=np.int64)
    for batch in _batches(files, [GROUP]):
        counts = np.bincount(batch[GROUP].to_numpy(), minlength=len(total))
        counts[: len(total)] += total
        total = counts
    return total


def _drawn(lengths: Ints, there: Ints, most_rows: int, seed: int) -> Ints:
    """The numbers of the documents that are taken, in ascending order."""
    order = there[np.argsort(mixed(seed, Purpose.SURFACE, there), kind="stable")]
    fitting = np.searchsorted(np.cumsum(lengths[order]), most_rows, side="right")
    drawn: Ints = np.sort(order[: max(int(fitting), 2)])
    return drawn


def _tokens(
    files: Sequence[Path], layer: LayerShape, chosen: Ints, documents: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Document, position, id and first expert of each token of the chosen documents."""
    wanted = np.zeros(documents, dtype=np.bool_)
    wanted[chosen] = True
    column = experts_column(layer)
    found = list[tuple[Ints, ...]]()
    for batch in _batches(files, [GROUP, "position", "token_id", column]):
        mine = wanted[batch[GROUP].to_numpy()]
        # Not `.values`, which knows nothing of slices.
        experts = batch[column].flatten().to_numpy().reshape(len(batch), -1)[:, 0]
        values = (batch[GROUP], batch["position"], batch["token_id"])
        found.append((*(each.to_numpy()[mine] for each in values), experts[mine]))
    a, b, c, d = (np.concatenate(each).astype(np.int64) for each in zip(*found, strict=True))
    return a, b, c, d


def _labels(corpus: Corpus, chosen: Ints, documents: Ints) -> dict[str, list[str]]:
    """Each label of the corpus for each token."""
    found = labels_of(corpus, chosen.tolist())
    return {
        name: [found[number].get(name, "") for number in documents.tolist()]
        for name in corpus.selection.labels
    }


def labels_of(corpus: Corpus, numbers: Collection[int]) -> dict[int, Mapping[str, str]]:
    """The labels of some documents of a corpus. Raises SourceError, and SurfaceError if the
    files do not hold them any more."""
    wanted, found = set(numbers), dict[int, Mapping[str, str]]()
    for document, _ in corpus.documents():
        if document.number in wanted:
            found[document.number] = document.labels
            if len(found) == len(wanted):
                return found
    raise SurfaceError("the corpus' files are not those that the pass has read")


def _batches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            yield from opened.iter_batches(_ROWS, columns=list(columns), use_threads=False)
