"""Parquet, one row group after the other, in batches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.reading.kind import Kind
from app.corpus.reading.lines import unpacked
from app.corpus.reading.rows import Mark, Row, SourceError, reading, twice

_BUFFER_BYTES = 1024 * 1024
_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_ROWS = 1000


class ParquetReader:
    """The rows of a Parquet file; a gzipped one is unpacked into a temporary file.

    A single value is held whole, however long. Raises SourceError for a damaged file, and for
    two columns of one name.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        with self.opened() as file:
            self.columns = tuple(file.schema_arrow.names)
        again = twice(self.columns)
        if again is not None:
            raise SourceError(f"{kind.path.name} has two columns «{again}»")

    def rows(self, start: Mark, columns: Collection[str], /) -> Iterator[Row]:
        """The rows after `start` with these columns. Row groups before it are not read."""
        with self.opened() as file:
            row, total = 0, file.metadata.num_rows
            for group in range(file.num_row_groups):
                its_rows = file.metadata.row_group(group).num_rows
                if row + its_rows <= start.offset:
                    row += its_rows
                    continue
                for batch in _batches(file, group, columns):
                    passed = min(max(start.offset - row, 0), batch.num_rows)
                    row += passed
                    part = batch.slice(passed)
                    values = [_values(part.column(name)) for name in columns]
                    for cells in zip(*values, strict=True):
                        row += 1
                        end = Mark(row, row, self._kind.size * row // total)
                        yield Row(row, dict(zip(columns, cells, strict=True)), end)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The file as pyarrow reads it. Raises SourceError, also for what goes wrong within."""
        path = self._kind.path
        with (
            reading(path),
            unpacked(path, self._kind.compressed) as (stream, _),
            tempfile.TemporaryFile() as temporary,
        ):
            if self._kind.compressed:
                shutil.copyfileobj(stream, temporary)
            source = temporary if self._kind.compressed else stream
            try:
                with pq.ParquetFile(source, buffer_size=_BUFFER_BYTES) as file:
                    yield file
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"{path.name} is damaged Parquet") from error


def _batches(file: Any, group: int, columns: Collection[str]) -> Iterator[Any]:
    """Batches of a row group of about 16 MB, so that long texts do not pile up."""
    about = file.metadata.row_group(group)
    row_bytes = about.total_byte_size // max(about.num_rows, 1) + 1
    rows = min(max(_BATCH_BYTES // row_bytes, 1), _BATCH_ROWS)
    batches: Iterator[Any] = file.iter_batches(
        rows, row_groups=[group], columns=list(columns), use_threads=False
    )
    return batches


def _values(column: Any) -> list[Any]:
    """As Python values. Bytes become str, and stay bytes where they are not UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        values = column.to_pylist()
    # One string that is not UTF-8, or a date that Python does not know, fails all.
    except (ValueError, OverflowError):
        values = [_value(scalar) for scalar in column]
    return [_decoded(value) if isinstance(value, bytes) else value for value in values]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        binary = isinstance(scalar, pa.BinaryScalar)
        return scalar.as_buffer().to_pybytes() if binary else None


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
