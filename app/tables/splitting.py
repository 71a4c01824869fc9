"""Which rows are held out: by seed alone, the same on every machine."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.corpus.counting.hashing import Purpose, mixed, rank
from app.tables.cells import levels
from app.tables.errors import TableError

Mask = NDArray[np.bool_]

SHARE = 0.2


def held_out(rows: int, seed: int, share: float = SHARE, classes: pd.Series | None = None) -> Mask:
    """Which of so many rows are held out, bool [rows].

    With `classes` [rows] each class gives its share, to one row (systematic sampling of the rows
    in the order of the classes, Madow and Madow 1944; at random within each). Equal rows may be
    on both sides. Raises TableError for fewer than two rows.
    """
    if rows < 2:
        raise TableError("one row cannot be split")
    drawn = mixed(seed, Purpose.ROWS, np.arange(rows))
    kind = np.zeros(rows) if classes is None else pd.factorize(classes, sort=True)[0]
    order = np.lexsort((drawn, kind))
    # One more is taken wherever the running total passes a half.
    totals = np.floor(np.arange(rows + 1) * share + 0.5)
    found: Mask = np.zeros(rows, dtype=np.bool_)
    found[order] = np.diff(totals) > 0
    if not found.any():
        found[order[0]] = True
    return found


def held_out_groups(groups: pd.Series, seed: int, share: float = SHARE) -> Mask:
    """Which rows are held out, bool [rows], so that none has its group on the other side.

    Groups come in an order that seed and name decide; those are taken with which the share is
    not passed, or the smallest one if each passes it. A row without a group is one by itself.
    Raises TableError for fewer than two groups.
    """
    names = levels(groups)
    codes, unique = pd.factorize(names)
    alone = codes < 0
    codes = codes.copy()
    codes[alone] = len(unique) + np.arange(int(alone.sum()))
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        raise TableError(f"all rows are of one «{groups.name}», so none can be held out")
    ranks = np.array([rank(str(name)) for name in unique], dtype=np.uint64)
    places = np.concatenate((ranks, np.flatnonzero(alone).astype(np.uint64)))
    drawn = mixed(seed, Purpose.GROUPS, places)
    order = np.argsort(drawn, kind="stable")
    chosen, left = np.zeros(len(sizes), dtype=np.bool_), share * len(codes)
    for group in order:
        if sizes[group] <= left:
            chosen[group] = True
            left -= sizes[group]
    if not chosen.any():
        chosen[order[np.argmin(sizes[order])]] = True
    found: Mask = chosen[codes]
    return found
