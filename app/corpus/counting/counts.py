"""All that is kept of a pass over a corpus: counts whose size does not grow with its tokens.

Whole numbers of merged parts equal the whole's to the bit, in any order; sums of fractions but
for rounding.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.corpus.counting.batch import LayerShape, RoutedBatch
from app.corpus.counting.columns import Tables, clean
from app.corpus.counting.examples import Examples
from app.corpus.counting.labels import Labels
from app.corpus.counting.layout import Layout
from app.corpus.counting.resamples import Resamples, weights
from app.corpus.counting.sample import DocumentSample
from app.corpus.counting.sums import summed
from app.corpus.counting.usage import Usage
from app.corpus.counting.vocabulary import TokenTable

SCHEMA = 1
_SHAPE = "shape.json"


class Counts:
    """What the routers of one stack did with a corpus.

    `documents`, `tokens` and `truncated` (documents cut to the longest input) are numbers;
    `usage`, `resamples`, `token_table`, `examples` and `sample` one aggregate each, `labels` one
    by label column. `shape`, `vocabulary`, `label_columns` and `seed` say what is counted.
    """

    def __init__(
        self,
        shape: tuple[LayerShape, ...],
        vocabulary: int,
        label_columns: tuple[str, ...],
        seed: int,
    ) -> None:
        self.shape = shape
        self.vocabulary = vocabulary
        self.label_columns = label_columns
        self.seed = seed
        self.layout = layout = Layout(shape)
        self.documents = self.tokens = self.truncated = 0
        self.usage = Usage(layout)
        self.resamples = Resamples(layout)
        self.labels = {column: Labels(layout) for column in label_columns}
        self.token_table = TokenTable(layout, vocabulary)
        self.examples = Examples(layout, seed)
        self.sample = DocumentSample(layout, len(label_columns), seed)

    @classmethod
    def empty(
        cls,
        shape: tuple[LayerShape, ...],
        vocabulary: int,
        label_columns: tuple[str, ...],
        seed: int = 0,
    ) -> Counts:
        """Nothing counted yet. `vocabulary` is one more than the highest token id."""
        return cls(tuple(shape), vocabulary, tuple(label_columns), seed)

    def add(self, batch: RoutedBatch) -> None:
        """Counts a batch. ValueError, and nothing counted, where it is not of this shape."""
        self.layout.check(batch)
        self.token_table.add(batch)
        sums = summed(batch, self.layout)
        drawn = weights(self.seed, sums.numbers)
        labels = [
            [clean(document.labels.get(column, "")) for column in self.label_columns]
            for document in batch.documents
        ]
        self.documents += len(batch.documents)
        self.tokens += len(batch.token_ids)
        self.truncated += batch.truncated
        self.usage.add(batch, sums)
        self.resamples.add(sums, drawn)
        for index, counted in enumerate(self.labels.values()):
            counted.add([values[index] for values in labels], sums, drawn)
        self.examples.add(batch)
        self.sample.add(labels, sums)

    def merge(self, other: Counts) -> None:
        """Adds the counts of other documents. ValueError where they count something else."""
        if self._identity() != other._identity():
            raise ValueError("counts of other layers, vocabulary, labels or seed cannot be merged")
        self.documents += other.documents
        self.tokens += other.tokens
        self.truncated += other.truncated
        self.usage.merge(other.usage)
        self.resamples.merge(other.resamples)
        for column, counted in self.labels.items():
            counted.merge(other.labels[column])
        self.token_table.merge(other.token_table)
        self.examples.merge(other.examples)
        self.sample.merge(other.sample)

    def _identity(self) -> tuple[object, ...]:
        return self.shape, self.vocabulary, self.label_columns, self.seed

    def tables(self) -> dict[str, pa.Table]:
        """Every aggregate as tables by name, documented where they are made.

        Those of a label column are `labels-0`, `label_experts-0` and so on, in column order.
        """
        found: dict[str, pa.Table] = {}
        for part in (self.usage, self.resamples, self.token_table, self.examples, self.sample):
            found |= part.tables()
        for index, counted in enumerate(self.labels.values()):
            found |= {f"{name}-{index}": table for name, table in counted.tables().items()}
        return found

    def save(self, folder: Path) -> None:
        """Writes shape.json and one Parquet file per table, all or nothing.

        Counts that lie there already are replaced; until the new ones are in place they are
        kept beside, where `load` finds them.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as room:
            written = Path(room) / folder.name
            written.mkdir()
            for name, table in self.tables().items():
                pq.write_table(table, written / f"{name}.parquet", compression="zstd")
            (written / _SHAPE).write_text(json.dumps(self._described(), indent=1), "utf-8")
            if folder.exists():
                shutil.rmtree(_aside(folder), ignore_errors=True)
                folder.rename(_aside(folder))
            written.rename(folder)
        shutil.rmtree(_aside(folder), ignore_errors=True)

    def _described(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "layers": [asdict(layer) for layer in self.shape],
            "vocabulary": self.vocabulary,
            "label_columns": self.label_columns,
            "seed": self.seed,
            "documents": self.documents,
            "tokens": self.tokens,
            "truncated": self.truncated,
        }

    @classmethod
    def load(cls, folder: Path) -> Counts:
        """What `save` wrote. FileNotFoundError without it, ValueError for another schema."""
        found = folder if folder.exists() else _aside(folder)
        described = _read(found)
        tables: Tables = {path.stem: pq.read_table(path) for path in found.glob("*.parquet")}
        counts = cls.empty(
            _layers(described),
            described["vocabulary"],
            tuple(described["label_columns"]),
            described["seed"],
        )
        layout, seed, columns = counts.layout, counts.seed, counts.label_columns
        counts.documents = described["documents"]
        counts.tokens = described["tokens"]
        counts.truncated = described["truncated"]
        counts.usage = Usage.loaded(layout, tables)
        counts.resamples = Resamples.loaded(layout, tables)
        counts.labels = {
            column: Labels.loaded(
                layout, {name: tables[f"{name}-{index}"] for name in ("labels", "label_experts")}
            )
            for index, column in enumerate(columns)
        }
        counts.token_table = TokenTable.loaded(layout, counts.vocabulary, tables)
        counts.examples = Examples.loaded(layout, seed, tables)
        counts.sample = DocumentSample.loaded(layout, len(columns), seed, tables)
        return counts


def shape_in(folder: Path) -> tuple[LayerShape, ...]:
    """The router layers of counts that lie there, without the counts. Raises as `Counts.load`."""
    return _layers(_read(folder if folder.exists() else _aside(folder)))


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / _SHAPE).read_text("utf-8"))
    if found["schema"] != SCHEMA:
        raise ValueError(f"counts of schema {found['schema']}, not {SCHEMA}")
    return found


def _layers(described: dict[str, Any]) -> tuple[LayerShape, ...]:
    return tuple(LayerShape(**layer) for layer in described["layers"])


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")
