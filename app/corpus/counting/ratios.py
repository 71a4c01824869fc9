"""Division where nothing over nothing is undefined."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from app.corpus.counting.layout import Floats


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below, float64 of their common shape, NaN where `below` is 0 or undefined."""
    a, b = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    out: Floats = np.full(a.shape, np.nan)
    divided: Floats = np.divide(a, b, out=out, where=b > 0)
    return divided
