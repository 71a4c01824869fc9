"""Several runs in one file: a zip of their CSVs, or one Parquet file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from app.recording.export import routing_csv
from app.recording.tables import COMPRESSION, SCHEMA, routing_table
from app.routing.trace import RoutingTrace

RUNS_SCHEMA = pa.schema([("run_id", pa.string()), ("model", pa.string()), *SCHEMA])


class Run(NamedTuple):
    """A recorded analysis. `created` is in UTC."""

    id: str
    created: datetime
    trace: RoutingTrace


def write_zip(path: Path, runs: Iterable[Run]) -> None:
    """One `ID.csv` per run. Holds one run at a time in memory. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for run in runs:
            about = zipfile.ZipInfo(f"{run.id}.csv", run.created.timetuple()[:6])
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, routing_csv(run.trace))


def write_parquet(path: Path, runs: Iterable[Run]) -> None:
    """The columns of the CSV after `run_id` and `model`. Holds one run at a time in memory.

    Raises OSError.
    """
    with pq.ParquetWriter(path, RUNS_SCHEMA, compression=COMPRESSION) as writer:
        for run in runs:
            table = routing_table(run.trace)
            ids = pa.repeat(run.id, len(table))
            models = pa.repeat(run.trace.model.id, len(table))
            writer.write_table(table.add_column(0, "model", models).add_column(0, "run_id", ids))
