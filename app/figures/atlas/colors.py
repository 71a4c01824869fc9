"""The colours of a pass' experts."""

from __future__ import annotations

import numpy as np

from app.corpus.counting.counts import Counts
from app.corpus.counting.ratios import ratio
from app.figures.theme import Theme, colors_by_load


def counted_colors(theme: Theme, counts: Counts) -> list[str]:
    """A colour per expert number, the same in all layers; a layer without tokens counts none."""
    found = (counts.usage.assignments[counts.layout.part(i)] for i in range(len(counts.shape)))
    return colors_by_load(theme, [np.nan_to_num(ratio(its, its.sum())) for its in found])
