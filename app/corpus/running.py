"""A pass over a corpus: documents in, counts out, and a place to go on from after any stop.

What a window holds follows from the corpus and the order alone, so a pass that goes on in the
middle of one makes the same batches as a pass that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.corpus.batching import batches
from app.corpus.counting.batch import LayerShape, RoutedBatch, RoutedLayer
from app.corpus.counting.counts import Counts
from app.corpus.library import Library
from app.corpus.order import Order, Progress
from app.corpus.reading.source import Corpus, Place
from app.corpus.state import Kept
from app.corpus.tally import Tally
from app.corpus.windows import Window, windows
from app.routing.batches import route
from app.routing.loaded import LoadedModel

_WINDOW_BATCHES = 32

Tell = Callable[[Progress], None]
Stop = Callable[[], bool]


def shape_of(loaded: LoadedModel) -> tuple[LayerShape, ...]:
    """The router layers that a pass counts: those of the stack that reads the text."""
    return tuple(
        LayerShape(site.name, site.stack, site.block, site.num_experts, site.top_k, site.capacity)
        for site in loaded.first_stack
    )


def window_tokens(batch_tokens: int) -> int:
    """About how many tokens a window has."""
    return _WINDOW_BATCHES * batch_tokens


def empty_counts(loaded: LoadedModel, order: Order) -> Counts:
    """Counts of nothing yet."""
    return Counts.empty(shape_of(loaded), len(loaded.tokenizer), order.labels, order.seed)


def begin(library: Library, id_: str, loaded: LoadedModel) -> Kept:
    """What is kept of a pass that was submitted, to go on with. Raises OSError."""
    vocabulary = range(len(loaded.tokenizer))
    pieces = loaded.tokenizer.convert_ids_to_tokens(list(vocabulary))
    model = {**vars(loaded.identity), **loaded.provenance}
    return library.begin(id_, model, dict(zip(vocabulary, pieces, strict=True)))


def run(
    loaded: LoadedModel,
    corpus: Corpus,
    order: Order,
    kept: Kept,
    tell: Tell = lambda _progress: None,
    stop: Stop = lambda: False,
) -> bool:
    """Goes on with a pass from where it stands; gives whether it has come to its end.

    `stop` is asked after every batch. Raises SourceError, TraceError or OSError; what was
    counted until then is kept.
    """
    tally = Tally(kept, empty_counts(loaded, order), order.tokens)
    state = tally.state
    corpus.skipped = state.skips
    size = window_tokens(order.batch_tokens)
    for window in windows(loaded, corpus, state.place, size, order.max_tokens):
        groups = batches([len(one.ids) for one in window.encoded], order.batch_tokens)
        first, last = corpus.done(state.place or Place()), corpus.done(window.after or Place())
        for group in groups[state.groups :]:
            tally.add(routed(loaded, window, group))
            state.groups += 1
            done = first + (last - first) * state.groups // len(groups)
            tell(tally.progress(done, corpus.size))
            if stop():
                tally.keep()
                return False
            tally.keep_if_due()
        state.place, state.groups = window.after, 0
    state.finished = True
    tally.keep()
    return True


def routed(loaded: LoadedModel, window: Window, group: Sequence[int]) -> RoutedBatch:
    """What the routers did with some documents of a window."""
    encoded = [window.encoded[place] for place in group]
    outputs = route(loaded, [one.ids for one in encoded])
    lengths = [len(one.ids) for one in encoded]
    ids = np.concatenate([np.asarray(one.ids, dtype=np.int64) for one in encoded])
    return RoutedBatch(
        documents=tuple(window.documents[place] for place in group),
        document_of=np.repeat(np.arange(len(group)), lengths),
        positions=np.concatenate([np.arange(length) for length in lengths]),
        token_ids=ids,
        special=np.isin(ids, list(loaded.special_ids)),
        spans=np.concatenate([np.asarray(one.offsets, dtype=np.int64) for one in encoded]),
        truncated=sum(window.cut[place] for place in group),
        layers=tuple(
            RoutedLayer(
                output.experts.numpy(), output.probabilities.numpy(), output.dropped.numpy()
            )
            for output in outputs
        ),
    )
