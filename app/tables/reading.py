"""CSV and Parquet files, plain or gzipped, as tables in memory; broken rows are counted.

A table may have `MOST_COLUMNS` columns, and `MOST_ROWS` rows or as many as keep it below
`MOST_CELLS` cells, which as numbers take 400 MB. One that is larger is refused, not cut: its
first rows need not stand for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from app.corpus.reading.delimited import CsvReader
from app.corpus.reading.kind import Kind, look
from app.corpus.reading.parquet import ParquetReader
from app.corpus.reading.rows import Broken, Mark, Skips, SourceError, twice
from app.tables.errors import TableError
from app.tables.gathering import Gathered, TooManyBytesError
from app.tables.typed import of_arrow, of_text

MOST_ROWS = 1_000_000
MOST_COLUMNS = 1_000
MOST_CELLS = 50_000_000
MOST_NAME_CHARACTERS = 200
_BATCH_ROWS = 1_000


@dataclass(frozen=True)
class Table:
    """A table that was read.

    `frame` has float64 for columns of numbers and str for all others, NaN where a cell is
    missing. `skipped` counts the rows of CSV that were left out, with their lines. `unread`: why
    a column is not in the frame. `commas`: numbers may have a decimal comma. `complete`: all
    rows were read, not only the first.
    """

    frame: pd.DataFrame
    skipped: Skips = field(default_factory=Skips)
    unread: Mapping[str, str] = field(default_factory=dict)
    commas: bool = False
    complete: bool = True


def read(path: Path, first: int | None = None, raw: bool = False) -> Table:
    """Reads a file, or its `first` rows. A file of text is taken as CSV, whatever its name.

    `raw`: the cells of a CSV file stay text, for a schema to say what they are. Raises
    TableError for what is no table, has no rows, too many rows or columns, or two columns of
    one name.
    """
    try:
        kind = look(path, "a table")
        if kind.format == "jsonl":
            raise TableError(f"{path.name} is JSON Lines; a table comes as CSV or Parquet")
        if kind.format == "parquet":
            return _parquet(kind, first)
        return _csv(replace(kind, format="csv"), first, raw)
    except SourceError as error:
        raise TableError(str(error)) from error
    except TooManyBytesError as error:
        raise TableError(f"{path.name} {error}") from error


def most_rows(columns: int) -> int:
    """How many rows a table of so many columns may have."""
    return min(MOST_ROWS, MOST_CELLS // max(columns, 1))


def _csv(kind: Kind, first: int | None, raw: bool) -> Table:
    reader = CsvReader(kind)
    names = _names(kind, reader.columns)
    most = _most(names, first)
    gathered, skipped, complete = Gathered(len(names)), Skips(), True
    for row in reader.rows(Mark(), reader.columns):
        if isinstance(row, Broken):
            skipped.add(0, kind.path.name, row.line, row.reason)
        elif gathered.rows < most:
            gathered.add(tuple(row.values.values()))
        else:
            complete = False
            break
    if not complete and first is None:
        raise _too_many(kind, names)
    if not gathered.rows:
        told = "".join(
            f"; line {some[0].line} is skipped ({reason})"
            for reason, some in list(skipped.examples.items())[:1]
        )
        raise TableError(f"{kind.path.name} has no rows{told}")
    # Only a comma that does not part the cells can be within a number.
    commas = reader.delimiter != ","
    frame, unread = _frame(kind, names, gathered, lambda column: of_text(column, commas, raw))
    return Table(frame, skipped, unread, commas, complete)


def _parquet(kind: Kind, first: int | None) -> Table:
    reader = ParquetReader(kind)
    names = _names(kind, reader.columns)
    gathered = Gathered(len(names))
    with reader.opened() as file:
        rows: int = file.metadata.num_rows
        if not rows:
            raise TableError(f"{kind.path.name} has no rows")
        if first is None and rows > most_rows(len(names)):
            raise _too_many(kind, names)
        wanted = min(rows, _most(names, first))
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            gathered.add_batch(batch.slice(0, wanted - gathered.rows))
            if gathered.rows == wanted:
                break
    frame, unread = _frame(kind, names, gathered, of_arrow)
    return Table(frame, unread=unread, complete=wanted == rows)


def _frame(
    kind: Kind,
    names: Sequence[str],
    gathered: Gathered,
    series: Callable[[pa.ChunkedArray], pd.Series],
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns, and why others are none. Of each the text goes before the next is made."""
    columns, unread = dict[str, pd.Series](), dict[str, str]()
    for name, column in zip(names, gathered.columns(), strict=True):
        try:
            columns[name] = series(column)
        except TableError as error:
            unread[name] = str(error)
    if not columns:
        raise TableError(f"{kind.path.name} has no column of single values")
    return pd.DataFrame(columns), unread


def _names(kind: Kind, columns: Sequence[str]) -> list[str]:
    """The names, each in one line."""
    name = kind.path.name
    if len(columns) > MOST_COLUMNS:
        raise TableError(f"{name} has {len(columns):,} columns; at most {MOST_COLUMNS:,} are read")
    found = [" ".join(each.split()) or f"column {place}" for place, each in enumerate(columns, 1)]
    if any(len(each) > MOST_NAME_CHARACTERS for each in found):
        raise TableError(f"{name} has a column name of over {MOST_NAME_CHARACTERS} characters")
    again = twice(found)
    if again is not None:
        raise TableError(f"{name} has two columns «{again}»")
    return found


def _most(names: Sequence[str], first: int | None) -> int:
    most = most_rows(len(names))
    return most if first is None else min(first, most)


def _too_many(kind: Kind, names: Sequence[str]) -> TableError:
    columns = "one column" if len(names) == 1 else f"{len(names):,} columns"
    return TableError(
        f"{kind.path.name} has more than {most_rows(len(names)):,} rows, the most that are read "
        f"of {columns}; hand in a part of it"
    )
