"""The formats a trace leaves the app in: routing.csv and the analysis as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.recording.base import Receipt
from app.recording.measures import Measures, measure
from app.recording.report import layer_json, number, paths_json
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

CSV_COLUMNS = (
    "layer_name",
    "token_index",
    "expert_index",
    "logit",
    "probability",
    "stack",
    "block",
    "token",
    "token_id",
    "selected",
    "rank",
    "weight",
    "dropped",
    "score_function",
    "generated",
)

V = TypeVar("V")
_FLAGS = ("false", "true")
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')


def routing_csv(trace: RoutingTrace) -> str:
    """Every layer × token × expert as one row, ordered by these three.

    Numbers are the shortest decimals that read back as the same float32. `rank` and
    `weight` are empty where the expert was not selected.
    """
    lines = [",".join(CSV_COLUMNS)]
    for layer in trace.layers:
        lines.extend(_rows(layer, trace.sequences[layer.stack]))
    return "\n".join(lines) + "\n"


def _rows(layer: RouterLayer, sequence: TokenSequence) -> Iterator[str]:
    # Joined by hand: only names and tokens can need quotes, and csv.writer would look at
    # every number of every row.
    name = _field(layer.name)
    logits, probabilities, weights = map(
        _decimals, (layer.logits, layer.probabilities, layer.weights)
    )
    chosen = layer.experts.tolist()
    token_ids = sequence.token_ids.tolist()
    score = _field(layer.score_function)
    ends = [
        f"{_FLAGS[dropped]},{score},{_FLAGS[generated]}"
        for dropped, generated in zip(
            layer.dropped.tolist(), sequence.generated.tolist(), strict=True
        )
    ]
    for index, token in enumerate(sequence.tokens):
        selections = ["false,,"] * layer.num_experts
        for rank, expert in enumerate(chosen[index]):
            selections[expert] = f"true,{rank},{weights[index][rank]}"
        about = f"{layer.stack},{layer.block},{_field(token)},{token_ids[index]}"
        for expert, (logit, probability, selection) in enumerate(
            zip(logits[index], probabilities[index], selections, strict=True)
        ):
            yield (
                f"{name},{index},{expert},{logit},{probability},{about},{selection},{ends[index]}"
            )


def _field(text: str) -> str:
    """A text as one field of RFC 4180, in quotes where it needs them."""
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def analysis_json(
    trace: RoutingTrace,
    receipt: Receipt | None = None,
    url: str | None = None,
    mlflow_url: str | None = None,
) -> dict[str, Any]:
    """The analysis as plain JSON values, and where it stands.

    `receipt` is None for one that should not be recorded; it has no id if the disk did not
    take it. One that the store refused is kept on the disk, so its id and `url` open it.
    """
    receipt = receipt or Receipt("", None, "failed")
    kept = receipt.run_id or receipt.id or None
    return {
        "run_id": kept,
        "status": receipt.status if receipt.status != "failed" else "not recorded",
        "detail": receipt.detail,
        "url": url if kept else None,
        **analysis_values(trace, measure(trace)),
        "mlflow_url": mlflow_url if kept else None,
    }


def analysis_values(trace: RoutingTrace, measures: Measures) -> dict[str, Any]:
    """The analysis itself as plain JSON values; numbers as in the CSV, undefined ones null.

    With two stacks, `tokens`, `token_ids`, `special` and `generated` map the stack to its
    list.
    """
    return {
        "model": dict(vars(trace.model)),
        "text": trace.text,
        "mode": trace.provenance.get("mode"),
        "target": trace.target,
        "output": trace.output,
        "generate": trace.provenance.get("generate"),
        "stopped": bool(trace.provenance.get("stopped")),
        "tokens": _by_stack({s: list(q.tokens) for s, q in trace.sequences.items()}),
        "token_ids": _by_stack({s: q.token_ids.tolist() for s, q in trace.sequences.items()}),
        "special": _by_stack({s: q.special.tolist() for s, q in trace.sequences.items()}),
        "generated": _by_stack({s: q.generated.tolist() for s, q in trace.sequences.items()}),
        "layers": [layer_json(layer) for layer in trace.layers],
        "experts": [layer.experts.tolist() for layer in trace.layers],
        "weights": [_numbers(layer.weights) for layer in trace.layers],
        "probabilities": [_numbers(layer.probabilities) for layer in trace.layers],
        "logits": [_numbers(layer.logits) for layer in trace.layers],
        "dropped": [layer.dropped.tolist() for layer in trace.layers],
        "metrics": _metrics(trace, measures),
    }


def _metrics(trace: RoutingTrace, found: Measures) -> dict[str, Any]:
    # A router's name is a path with dots, so «tokens» and «paths» are none.
    return {
        "tokens": _by_stack({s: len(q) for s, q in trace.sequences.items()}),
        "paths": {stack: paths_json(paths) for stack, paths in found.paths.items()},
        **{
            layer: {name: number(value) for name, value in values.items()}
            for layer, values in found.layers.items()
        },
    }


def _by_stack(values: Mapping[Stack, V]) -> V | dict[Stack, V]:
    return next(iter(values.values())) if len(values) == 1 else dict(values)


def _decimals(array: NDArray[np.float32]) -> list[list[str]]:
    """The shortest decimals of float32 numbers (numpy's own), as text."""
    decimals: list[list[str]] = array.astype(str).tolist()
    return decimals


def _numbers(array: NDArray[np.float32]) -> list[Any]:
    """float32 numbers as Python floats that print as the shortest decimals do."""
    numbers: list[Any] = array.astype(str).astype(np.float64).tolist()
    return numbers
