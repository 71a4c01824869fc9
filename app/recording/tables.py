"""The routing as Parquet: the rows and columns of routing.csv, typed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.routing.trace import RouterLayer, RoutingTrace, TokenSequence

SCHEMA = pa.schema(
    [
        ("layer_name", pa.string()),
        ("token_index", pa.int32()),
        ("expert_index", pa.int32()),
        ("logit", pa.float32()),
        ("probability", pa.float32()),
        ("stack", pa.string()),
        ("block", pa.int32()),
        ("token", pa.string()),
        ("token_id", pa.int64()),
        ("selected", pa.bool_()),
        ("rank", pa.int32()),
        ("weight", pa.float32()),
        ("dropped", pa.bool_()),
        ("score_function", pa.string()),
        ("generated", pa.bool_()),
    ]
)
COMPRESSION = "zstd"


def routing_table(trace: RoutingTrace) -> pa.Table:
    """Every layer × token × expert as one row, in the order of routing.csv.

    `rank` and `weight` are null where the expert was not selected.
    """
    return pa.concat_tables(
        [_of_layer(layer, trace.sequences[layer.stack]) for layer in trace.layers]
    )


def routing_parquet(trace: RoutingTrace) -> bytes:
    """The same as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(routing_table(trace), buffer, compression=COMPRESSION)
    return buffer.getvalue()


def _of_layer(layer: RouterLayer, sequence: TokenSequence) -> pa.Table:
    tokens, experts = layer.logits.shape
    rank = np.full((tokens, experts), -1, dtype=np.int32)
    weight = np.zeros((tokens, experts), dtype=np.float32)
    places = np.arange(layer.top_k, dtype=np.int32)[None, :].repeat(tokens, axis=0)
    np.put_along_axis(rank, layer.experts, places, axis=1)
    np.put_along_axis(weight, layer.experts, layer.weights, axis=1)
    absent = (rank < 0).ravel()

    def each_token(values: Any) -> Any:
        return np.repeat(np.asarray(values), experts)

    def always(value: Any) -> pa.Array:
        return pa.repeat(value, tokens * experts)

    words = pa.array(sequence.tokens, pa.string())
    columns = {
        "layer_name": always(layer.name),
        "token_index": each_token(np.arange(tokens, dtype=np.int32)),
        "expert_index": np.tile(np.arange(experts, dtype=np.int32), tokens),
        "logit": layer.logits.ravel(),
        "probability": layer.probabilities.ravel(),
        "stack": always(layer.stack),
        "block": always(pa.scalar(layer.block, pa.int32())),
        "token": words.take(pa.array(each_token(np.arange(tokens)))),
        "token_id": each_token(sequence.token_ids),
        "selected": ~absent,
        "rank": pa.array(rank.ravel(), mask=absent),
        "weight": pa.array(weight.ravel(), mask=absent),
        "dropped": each_token(layer.dropped),
        "score_function": always(layer.score_function),
        "generated": each_token(sequence.generated),
    }
    return pa.table(columns, schema=SCHEMA)
