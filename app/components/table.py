"""The table of everything that was selected, a row per layer, token and rank."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag

from app.components import ids
from app.routing.trace import RoutingTrace

_TEXT, _NUMBER = "agTextColumnFilter", "agNumberColumnFilter"
_COLUMNS = {
    "stack": _TEXT,
    "block": _NUMBER,
    "layer_name": _TEXT,
    "token_index": _NUMBER,
    "token": _TEXT,
    "token_id": _NUMBER,
    "expert_index": _NUMBER,
    "rank": _NUMBER,
    "probability": _NUMBER,
    "logit": _NUMBER,
    "weight": _NUMBER,
    "dropped": _TEXT,
    "score_function": _TEXT,
    "generated": _TEXT,
}
_REALS = ("probability", "logit", "weight")
# Struck through, beside the word in its own column: this expert had no room.
_DROPPED = {"dropped": "params.data.dropped == 'true'"}
_FOUR_DIGITS = {"function": "d3.format('.4g')(params.value)"}

# Its script is most of what a first visit would load: assets/libraries.js fetches it later.
dag._js_dist[0]["async"] = True


def table() -> dag.AgGrid:
    """An empty table with the columns of routing.csv."""
    return dag.AgGrid(
        id=ids.TABLE,
        columnDefs=[
            {
                "field": name,
                "headerName": name,
                "filter": kind,
                "width": 290 if name == "layer_name" else 72 + 8 * len(name),
                **({"valueFormatter": _FOUR_DIGITS} if name in _REALS else {}),
                **({"cellClassRules": _DROPPED} if name == "expert_index" else {}),
            }
            for name, kind in _COLUMNS.items()
        ],
        defaultColDef={"sortable": True, "resizable": True},
        rowData=[],
        dashGridOptions={
            "animateRows": False,
            "rowHeight": 32,
            "headerHeight": 36,
            "pagination": True,
            "paginationPageSize": 50,
        },
        style={"height": "420px"},
    )


def rows(trace: RoutingTrace) -> list[dict[str, Any]]:
    """The rows of routing.csv that were selected, in its order of layers and tokens."""
    found = []
    for layer in trace.layers:
        sequence = trace.sequences[layer.stack]
        for token, experts in enumerate(layer.experts.tolist()):
            for rank, expert in enumerate(experts):
                found.append(
                    {
                        "stack": layer.stack,
                        "block": layer.block,
                        "layer_name": layer.name,
                        "token_index": token,
                        "token": sequence.tokens[token],
                        "token_id": int(sequence.token_ids[token]),
                        "expert_index": expert,
                        "rank": rank,
                        "probability": float(layer.probabilities[token, expert]),
                        "logit": float(layer.logits[token, expert]),
                        "weight": float(layer.weights[token, rank]),
                        "dropped": _yes_or_no(layer.dropped[token]),
                        "score_function": layer.score_function,
                        "generated": _yes_or_no(sequence.generated[token]),
                    }
                )
    return found


def _yes_or_no(value: object) -> str:
    return "true" if value else "false"
