"""The transition heatmap: where the tokens of each expert go in another router layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.figures.labels import count_of, layer_label
from app.figures.theme import (
    LIGHT,
    Theme,
    axis_title,
    base_layout,
    cell_axis,
    cell_texts,
    ink,
    mix,
    thinned,
)
from app.routing.metrics import transition_counts, transition_matrix
from app.routing.trace import RoutingTrace, Stack

_PRINTED_EXPERTS = 16
_MARGIN = {"l": 56, "r": 8, "t": 8, "b": 56}
_HEIGHTS = (160, 480)
_ROW_HEIGHT = 24


def transition_figure(
    trace: RoutingTrace, a: int, b: int, theme: Theme = LIGHT, stack: Stack | None = None
) -> dict[str, Any]:
    """P(expert in layer `b` | expert in layer `a`), indices from 0; a row sums to 1.

    Cells print how many tokens they stand for. The row of an expert without tokens stays
    blank, and a line below says so.
    """
    layers = trace.stack_layers(stack or trace.stacks[0])
    first, second = layers[a], layers[b]
    n, m = first.num_experts, second.num_experts
    shares = transition_matrix(first.experts, second.experts, n, m)
    counts = transition_counts(first.experts, second.experts, n, m)
    empty = np.flatnonzero(counts.sum(axis=1) == 0).tolist()
    from_, to = layer_label(a).lower(), layer_label(b).lower()
    height = min(max(n * _ROW_HEIGHT, _HEIGHTS[0]), _HEIGHTS[1])
    printed = max(n, m) <= _PRINTED_EXPERTS
    gap = 1 if printed else 0
    # Among many experts a share of one half is rare: the scale ends lower, whatever the text.
    top = min(1.0, 8 / m)
    names = [str(expert) for expert in range(max(n, m))]
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [
                    [None if np.isnan(share) else round(share, 4) for share in row]
                    for row in shares.tolist()
                ],
                "zmin": 0,
                "zmax": top,
                "colorscale": [[0, theme.ground], [1, theme.load]],
                "showscale": False,
                "xgap": gap,
                "ygap": gap,
                "hovertext": _hovers(counts, shares, from_, to),
                "hovertemplate": "%{hovertext}<extra></extra>",
                "hoverongaps": True,
            },
            *([_printed(counts, shares / top, theme)] if printed else []),
        ],
        "layout": {
            **base_layout(theme),
            "height": height + _MARGIN["t"] + _MARGIN["b"],
            "margin": _MARGIN,
            "xaxis": {
                **cell_axis(names[:m], every=thinned(m, 16)),
                "title": axis_title(f"expert in {to}", 4),
            },
            "yaxis": {
                **cell_axis(names[:n], reverse=True, every=thinned(n, 20)),
                "title": axis_title(f"expert in {from_}", 8),
            },
            "shapes": [_frame(n, m, theme)],
            "annotations": [_note(empty, from_, theme)] if empty else [],
        },
    }


def _hovers(counts: np.ndarray, shares: np.ndarray, from_: str, to: str) -> list[list[str]]:
    totals = counts.sum(axis=1).tolist()
    return [
        [
            f"{from_}, expert {i} → {to}, expert {j}<br>"
            + (
                f"{count} of {count_of(totals[i], 'token')} ({share:.0%})"
                if totals[i]
                else f"no token chose expert {i}"
            )
            for j, (count, share) in enumerate(zip(row, share_row, strict=True))
        ]
        for i, (row, share_row) in enumerate(zip(counts.tolist(), shares.tolist(), strict=True))
    ]


def _printed(counts: np.ndarray, shares: np.ndarray, theme: Theme) -> dict[str, Any]:
    return cell_texts(
        [[str(count) if count else "" for count in row] for row in counts.tolist()],
        [
            [ink(mix(theme.ground, theme.load, min(share, 1.0))) for share in row]
            for row in np.nan_to_num(shares).tolist()
        ],
    )


def _frame(n: int, m: int, theme: Theme) -> dict[str, Any]:
    ends = {"x0": -0.5, "x1": m - 0.5, "y0": -0.5, "y1": n - 0.5}
    return {"type": "rect", **ends, "line": {"color": theme.rule, "width": 1}}


def _note(empty: list[int], from_: str, theme: Theme) -> dict[str, Any]:
    who = "experts" if len(empty) > 1 else "expert"
    names = ", ".join(map(str, empty)) if len(empty) <= 8 else str(len(empty))
    text = f"{who} {names}" if len(empty) <= 8 else f"{names} {who}"
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 0,
        "yshift": -38,
        "xanchor": "left",
        "yanchor": "top",
        "showarrow": False,
        "text": f"Blank: no token chose {text} in {from_}.",
        "font": {"size": 11, "color": theme.muted},
    }
