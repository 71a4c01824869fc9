"""The files of router saturation over checkpoints: a row per checkpoint and layer. Pure.

Layers count from 0. Undefined numbers are null, empty in a CSV.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from app.corpus.counting.batch import LayerShape
from app.corpus.library import Pass
from app.corpus.saturations import Compared
from app.recording.tables import COMPRESSION

SCHEMA = pa.schema(
    [
        ("pass", pa.string()),
        ("model", pa.string()),
        ("revision", pa.string()),
        ("compared_with", pa.string()),
        ("compared_with_model", pa.string()),
        ("compared_with_revision", pa.string()),
        ("layer", pa.int32()),
        ("layer_name", pa.string()),
        ("stack", pa.string()),
        ("block", pa.int32()),
        ("num_experts", pa.int32()),
        ("top_k", pa.int32()),
        ("saturation", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("chance", pa.float64()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
    ]
)
STEM = "checkpoints"
ENDINGS = ("csv", "parquet")


def content(
    chosen: Pass, compared: Sequence[Compared], shape: Sequence[LayerShape], ending: str
) -> bytes:
    """`app.corpus.saturation` of the passes beside `chosen`, as CSV or Parquet.

    Intervals are at 95 %; passes without an outcome are left out.
    """
    rows = [row for each in compared for row in _rows(chosen, each, shape)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    buffer = io.BytesIO()
    if ending == "csv":
        pa.csv.write_csv(table, buffer)
    else:
        pq.write_table(table, buffer, compression=COMPRESSION)
    return buffer.getvalue()


def _rows(
    chosen: Pass, compared: Compared, shape: Sequence[LayerShape]
) -> Iterator[dict[str, Any]]:
    outcome = compared.outcome
    if outcome is None:
        return
    for index, (layer, found) in enumerate(zip(shape, outcome.layers, strict=True)):
        numbers = {
            "saturation": found.share,
            "low": found.low,
            "high": found.high,
            "chance": found.chance,
        }
        yield {
            **_identity(compared.found, "pass", ""),
            **_identity(chosen, "compared_with", "compared_with_"),
            "layer": index,
            "layer_name": layer.name,
            "stack": layer.stack,
            "block": layer.block,
            "num_experts": layer.num_experts,
            "top_k": layer.top_k,
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "documents": outcome.documents,
            "tokens": outcome.tokens,
        }


def _identity(found: Pass, name: str, prefix: str) -> dict[str, str]:
    return {
        name: found.about.id,
        f"{prefix}model": found.about.order.model,
        f"{prefix}revision": str(found.about.model.get("revision", "")),
    }
