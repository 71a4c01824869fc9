"""Where the occurrences of one token went: layers × experts."""

from __future__ import annotations

import math
from typing import Any

from app.corpus.atlas.tokens import TokenRouting
from app.figures.atlas.cells import over_experts
from app.figures.atlas.words import share
from app.figures.labels import count_of, layer_label
from app.figures.theme import (
    LIGHT,
    Theme,
    base_layout,
    cell_texts,
    ink,
    mix,
)

_ROW_HEIGHT = 28
_PRINTED_EXPERTS = 16


def token_figure(routing: TokenRouting, theme: Theme = LIGHT) -> dict[str, Any]:
    """P(expert | token) in each layer; a row sums to 1. The scale goes from 0 to 1."""
    rows = [shares.tolist() for shares in routing.shares]
    experts = max(map(len, rows))
    names = [layer_label(index) for index in range(len(rows))]
    printed = experts <= _PRINTED_EXPERTS
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [
                    [
                        *(None if math.isnan(v) else round(v, 4) for v in row),
                        *[None] * (experts - len(row)),
                    ]
                    for row in rows
                ],
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, theme.ground], [1, theme.load]],
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "hovertext": [
                    [
                        f"{name}, expert {expert}<br>{share(value)} of "
                        f"{count_of(routing.n, 'occurrence')}"
                        for expert, value in enumerate(row)
                    ]
                    for name, row in zip(names, rows, strict=True)
                ],
                "hovertemplate": "%{hovertext}<extra></extra>",
            },
            *([_printed(rows, theme)] if printed else []),
        ],
        "layout": {
            **base_layout(theme),
            "meta": {"least_width": max(320, 88 + 10 * experts)},
            "height": 52 + _ROW_HEIGHT * len(rows),
            "margin": {"l": 64, "r": 8, "t": 8, "b": 40},
            **over_experts(names, experts, theme),
        },
    }


def _printed(rows: list[list[float]], theme: Theme) -> dict[str, Any]:
    return cell_texts(
        [[f"{value:.0%}" if value > 0 else "" for value in row] for row in rows],
        [
            [ink(mix(theme.ground, theme.load, value if value > 0 else 0.0)) for value in row]
            for row in rows
        ],
    )
