"""Which columns a model's answers rest on: how much worse it is with one shuffled.

Permutation importance (Breiman 2001, «Random forests», §10; Fisher, Rudin and Dominici 2019):
the same for every kind of model, ensembles included. Columns that tell the same share it, so that
each can look unimportant; and it says what a model uses, not what causes the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.automl.order import Importance

Floats = NDArray[np.float64]
Loss = Callable[[Floats, NDArray[np.int64]], float]

SHUFFLES = 5
# Answers that may be asked for: a few seconds of them.
_MOST_ANSWERS = 200_000
_LEAST_ROWS = 50


def importances(
    names: Sequence[str], numbers: Floats, loss: Loss, seed: int
) -> tuple[Importance, ...]:
    """The columns of `numbers` [rows, columns], the most important first.

    `loss(numbers, rows)`: of the answers to those rows of the table. Of many rows and columns
    some rows are drawn.
    """
    random = np.random.default_rng(seed)
    fitting = max(_LEAST_ROWS, _MOST_ANSWERS // (SHUFFLES * max(1, len(names))))
    rows = np.arange(len(numbers))
    if len(rows) > fitting:
        rows = np.sort(random.choice(rows, fitting, replace=False))
    some = numbers[rows]
    before = loss(some, rows)
    found = []
    for place, name in enumerate(names):
        rises = []
        for _ in range(SHUFFLES):
            shuffled = some.copy()
            shuffled[:, place] = random.permutation(some[:, place])
            rises.append(loss(shuffled, rows) - before)
        found.append(Importance(name, float(np.mean(rises)), float(np.std(rises))))
    return tuple(sorted(found, key=lambda one: -one.value))
