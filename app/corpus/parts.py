"""Every token's routing as Parquet, in parts: for people who ask more than the counts tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.counting.batch import LayerShape, RoutedBatch
from app.corpus.state import PARTS

_COMPRESSION = "zstd"


def part_files(folder: Path, parts: int) -> list[Path]:
    """The first `parts` parts in the folder of a pass, in the order in which they were written."""
    return [folder / PARTS / _name(number) for number in range(parts)]


def _name(number: int) -> str:
    return f"part-{number:05d}.parquet"


def experts_column(layer: LayerShape) -> str:
    """The column with the experts of a router layer."""
    return f"{layer.name}/experts"


def schema_of(shape: tuple[LayerShape, ...]) -> pa.Schema:
    """A row per token: its document, place and id; for each router layer the experts by falling
    score, the first one's probability, and where there is a capacity whether it was dropped."""
    columns: list[tuple[str, Any]] = [
        ("document", pa.int64()),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
    ]
    for layer in shape:
        columns.append((experts_column(layer), pa.list_(pa.int16(), layer.top_k)))
        columns.append((f"{layer.name}/probability", pa.float32()))
        if layer.capacity is not None:
            columns.append((f"{layer.name}/dropped", pa.bool_()))
    return pa.schema(columns)


class TokenWriter:
    """Writes parts into a folder `tokens`; those from number `parts` on are of no state and go."""

    def __init__(self, folder: Path, shape: tuple[LayerShape, ...], parts: int) -> None:
        self._folder = folder / PARTS
        self._shape = shape
        self._schema = schema_of(shape)
        self._parts = parts
        self._waiting: list[pa.Table] = []
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in self._folder.glob("part-*.parquet*"):
            if int(file.name.split("-")[1].split(".")[0]) >= parts:
                file.unlink()

    def add(self, batch: RoutedBatch) -> None:
        """Takes a batch's tokens, documents in the order of the batch."""
        numbers = np.array([document.number for document in batch.documents])
        columns: dict[str, Any] = {
            "document": numbers[batch.document_of],
            "position": batch.positions.astype(np.int32),
            "token_id": batch.token_ids.astype(np.int32),
        }
        for shape, layer in zip(self._shape, batch.layers, strict=True):
            experts = layer.experts.astype(np.int16)
            first = np.take_along_axis(layer.probabilities, layer.experts[:, :1], axis=1)[:, 0]
            columns[experts_column(shape)] = pa.FixedSizeListArray.from_arrays(
                pa.array(experts.ravel()), shape.top_k
            )
            columns[f"{shape.name}/probability"] = first
            if shape.capacity is not None:
                columns[f"{shape.name}/dropped"] = layer.dropped
        self._waiting.append(pa.table(columns, schema=self._schema))

    def flush(self) -> int:
        """Writes what waits as the next part; gives how many parts there are. Raises OSError."""
        if self._waiting:
            place = self._folder / _name(self._parts)
            written = place.with_suffix(".parquet.new")
            pq.write_table(pa.concat_tables(self._waiting), written, compression=_COMPRESSION)
            written.replace(place)
            self._parts += 1
            self._waiting = []
        return self._parts
