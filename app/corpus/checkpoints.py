"""Which passes are of other checkpoints of a model: the same corpus, the same routers, other
weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from app.corpus.counting.batch import LayerShape
from app.corpus.counting.counts import shape_in
from app.corpus.library import Library, Pass
from app.corpus.state import Kept

_DIGITS = re.compile(r"(\d+)")
_REVISION = 8


def comparable(found: Pass) -> bool:
    """Whether a pass can be compared token by token at all: it is finished, and kept the routing
    of each."""
    return found.state.finished and found.about.order.tokens and bool(found.digest)


def checkpoints(library: Library, chosen: Pass) -> list[Pass]:
    """The passes that can be compared with `chosen` token by token, by the models' names.

    step-9 comes before step-10. Of several with the same weights, the newest. Whether all are of
    one training nothing here can tell.
    """
    if not comparable(chosen):
        return []
    found: dict[tuple[str, str], Pass] = {}
    for other in library.passes():
        if (
            comparable(other)
            and _weights(other) != _weights(chosen)
            and _read(other) == _read(chosen)
            and _routers(library, other) == _routers(library, chosen)
        ):
            found.setdefault(_weights(other), other)
    return sorted(found.values(), key=lambda one: _natural(one.about.order.model))


def names(passes: Sequence[Pass]) -> list[str]:
    """The models' names, each with its revision where two have the same."""
    plain = [one.about.order.model for one in passes]
    return [
        name if plain.count(name) == 1 else f"{name} {_weights(one)[1][:_REVISION]}"
        for name, one in zip(plain, passes, strict=True)
    ]


def layers_of(library: Library, found: Pass) -> tuple[LayerShape, ...]:
    """The router layers that a pass counted. Raises OSError."""
    return shape_in(Kept(library.folder(found.about.id)).counts_of(found.state.number))


def _weights(found: Pass) -> tuple[str, str]:
    return found.about.order.model, str(found.about.model.get("revision", ""))


def _read(found: Pass) -> tuple[Any, ...]:
    """What must be the same for the same tokens to come in the same order, and what may change a
    choice besides the weights."""
    order = found.about.order
    dtype = found.about.model.get("dtype")
    return found.digest, order.text, order.max_tokens, order.batch_tokens, dtype


def _routers(library: Library, found: Pass) -> list[tuple[str, int, int]]:
    """Without the capacity, which decides what is dropped and not what is chosen."""
    try:
        shape = layers_of(library, found)
    except FileNotFoundError:
        return []  # removed in between
    return [(layer.name, layer.num_experts, layer.top_k) for layer in shape]


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name by their value."""
    parts = _DIGITS.split(name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
