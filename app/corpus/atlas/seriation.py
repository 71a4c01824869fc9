"""An order of things in which the alike stand together."""

from __future__ import annotations

import numpy as np

from app.corpus.counting.layout import Floats, Ints


def seriated(distances: Floats) -> Ints:
    """An order of the rows of distances in [0, 1], float64 [E, E], int64 [E].

    By the Fiedler vector of the similarities 1 − d (Atkins, Boman and Hendrickson 1998, §3).
    Its direction is chosen so that the lowest number stands in the first half. Rows of NaN
    come last.
    """
    known = np.flatnonzero(~np.isnan(np.diag(distances)))
    if len(known) > 2:
        similar = 1 - distances[np.ix_(known, known)]
        laplacian = np.diag(similar.sum(axis=1)) - similar
        place = np.linalg.eigh(laplacian)[1][:, 1]
        # Rounding must not part what is equal.
        order = np.argsort(np.round(place, 9), kind="stable")
        if np.flatnonzero(order == 0)[0] > (len(order) - 1) / 2:
            order = order[::-1]
        known = known[order]
    unknown = np.flatnonzero(np.isnan(np.diag(distances)))
    return np.concatenate((known, unknown)).astype(np.int64)
