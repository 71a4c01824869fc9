"""The colours of a pass' experts."""

from __future__ import annotations

import numpy as np

from app.corpus.counting.counts import Counts
from app.corpus.counting.ratios import ratio
from app.figures.theme import Theme


def counted_colors(theme: Theme, counts: Counts) -> list[str]:
    """A colour per expert number, the same in all layers, by the rule of `expert_colors`."""
    palette = theme.experts
    experts = max(layer.num_experts for layer in counts.shape)
    if experts <= len(palette):
        return list(palette[:experts])
    load = np.zeros(experts)
    for index, layer in enumerate(counts.shape):
        found = counts.usage.assignments[counts.layout.part(index)]
        load[: layer.num_experts] += np.nan_to_num(ratio(found, found.sum()))
    colors = [theme.other_expert] * experts
    for color, expert in zip(palette, sorted(np.argsort(-load)[: len(palette)]), strict=True):
        colors[int(expert)] = color
    return colors
