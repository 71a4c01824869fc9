"""The files of an expert atlas: its experts, its labels and its tokens as tables. Pure.

Layers and experts count from 0. Undefined numbers are null, empty in a CSV.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from app.corpus.atlas.labels import LabelProfile
from app.corpus.atlas.tokens import tokens_of_layer
from app.corpus.atlases import Atlas
from app.corpus.counting.counts import Counts
from app.corpus.counting.ratios import ratio
from app.recording.tables import COMPRESSION

_ABOUT_LAYER = [
    ("layer", pa.int32()),
    ("layer_name", pa.string()),
    ("stack", pa.string()),
    ("block", pa.int32()),
]
ATLAS_SCHEMA = pa.schema(
    [
        *_ABOUT_LAYER,
        ("expert", pa.int32()),
        ("assignments", pa.int64()),
        ("load", pa.float64()),
        ("load_low", pa.float64()),
        ("load_high", pa.float64()),
        ("uniform", pa.float64()),
        ("confidence", pa.float64()),
        ("confidence_low", pa.float64()),
        ("confidence_high", pa.float64()),
        ("drop_rate", pa.float64()),
        ("drop_rate_low", pa.float64()),
        ("drop_rate_high", pa.float64()),
        ("speciality", pa.string()),
        ("evidence", pa.string()),
        ("best_labels", pa.string()),
        ("top_tokens", pa.string()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
    ]
)
LABELS_SCHEMA = pa.schema(
    [
        *_ABOUT_LAYER,
        ("expert", pa.int32()),
        ("label", pa.string()),
        ("value", pa.string()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
        ("share", pa.float64()),
        ("baseline", pa.float64()),
        ("recall", pa.float64()),
        ("risk_ratio", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("level", pa.float64()),
        ("comparisons", pa.int32()),
    ]
)
TOKENS_SCHEMA = pa.schema(
    [
        *_ABOUT_LAYER,
        ("expert", pa.int32()),
        ("token_id", pa.int64()),
        ("piece", pa.string()),
        ("count", pa.int64()),
        ("total", pa.int64()),
        ("share", pa.float64()),
        ("pmi", pa.float64()),
    ]
)


def experts_of(atlas: Atlas, layer: int) -> pa.Table:
    """A row for each expert of a layer.

    Intervals are at 95 %; `uniform` is 1/N. `best_labels` are the values whose corrected
    interval lies above 1, with their risk ratio; `top_tokens` those with the highest pointwise
    mutual information, a space between two. `documents` and `tokens` are the corpus'.
    """
    return pa.Table.from_pylist(list(_experts(atlas, layer)), schema=ATLAS_SCHEMA)


def labels_of(atlas: Atlas, layer: int) -> pa.Table:
    """A row for each label value of each expert of a layer: `label_profile`.

    `documents` and `tokens` are the value's, `share` is P(expert | value), `baseline`
    P(expert), `recall` the value's share of the expert's labelled tokens; `low` and `high` are
    at `level`, which is corrected for `comparisons`.
    """
    counts = atlas.counts
    columns = [
        _labels(counts, layer, column, atlas.profile(layer, column))
        for column in counts.label_columns
    ]
    return pa.concat_tables(columns) if columns else LABELS_SCHEMA.empty_table()


def tokens_of(atlas: Atlas, layer: int) -> pa.Table:
    """A row for each token that an expert of a layer took: how often, of how many, its share
    of the token's assignments, and its pointwise mutual information in bits.

    Tokens that stand for no text are left out.
    """
    return _tokens(atlas.counts, layer, atlas.pieces)


_TABLES: Mapping[str, tuple[Callable[[Atlas, int], pa.Table], pa.Schema]] = {
    "atlas": (experts_of, ATLAS_SCHEMA),
    "labels": (labels_of, LABELS_SCHEMA),
    "tokens": (tokens_of, TOKENS_SCHEMA),
}
NAMES = tuple(f"{stem}.{ending}" for stem in _TABLES for ending in ("csv", "parquet"))
CSV_NAMES = tuple(name for name in NAMES if name.endswith(".csv"))


def content(atlas: Atlas, name: str) -> bytes:
    """One of the files. KeyError for another name."""
    buffer = io.BytesIO()
    _write(atlas, name, buffer)
    return buffer.getvalue()


def write(atlas: Atlas, name: str, path: Path) -> None:
    """The same into a file, with one layer at a time in memory. Raises KeyError or OSError."""
    with path.open("wb") as file:
        _write(atlas, name, file)


def _write(atlas: Atlas, name: str, sink: IO[bytes]) -> None:
    if name not in NAMES:
        raise KeyError(name)
    stem, _, ending = name.partition(".")
    of_layer, schema = _TABLES[stem]
    writer = (
        pa.csv.CSVWriter(sink, schema)
        if ending == "csv"
        else pq.ParquetWriter(sink, schema, compression=COMPRESSION)
    )
    with writer:
        for layer in range(len(atlas.counts.shape)):
            writer.write_table(of_layer(atlas, layer))


def best_labels(profile: LabelProfile, expert: int) -> list[tuple[str, float]]:
    """The values that an expert surely takes more often, with their risk ratio, falling."""
    low, taken = profile.low[expert], profile.risk_ratio[expert]
    order = np.argsort(-np.nan_to_num(taken), kind="stable")
    return [(profile.values[i], float(taken[i])) for i in order if low[i] > 1]


def _experts(atlas: Atlas, layer: int) -> Iterator[dict[str, Any]]:
    found, counts = atlas.layer(layer), atlas.counts
    profiles = {column: atlas.profile(layer, column) for column in counts.label_columns}
    estimates = {
        "load": found.load,
        "confidence": found.confidence,
        "drop_rate": found.dropped,
    }
    for its in found.experts:
        best = {column: best_labels(one, its.expert) for column, one in profiles.items()}
        numbers = {
            f"{name}{end}": float(values[its.expert])
            for name, one in estimates.items()
            for end, values in (("", one.value), ("_low", one.low), ("_high", one.high))
        }
        yield {
            **_about(counts, layer),
            "expert": its.expert,
            "assignments": int(found.load.n[its.expert]),
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "uniform": 1 / found.shape.num_experts,
            "speciality": its.speciality,
            "evidence": " ".join(its.evidence),
            "best_labels": "; ".join(
                f"{column}: " + ", ".join(f"{value} {taken:.3g}" for value, taken in pairs)
                for column, pairs in best.items()
                if pairs
            ),
            "top_tokens": " ".join(atlas.pieces.get(each.token_id, "") for each in its.tokens),
            "documents": counts.documents,
            "tokens": counts.tokens,
        }


def _labels(counts: Counts, layer: int, column: str, profile: LabelProfile) -> pa.Table:
    experts, values = profile.share.shape
    n = experts * values
    return _columns(
        {
            **{name: pa.repeat(value, n) for name, value in _about(counts, layer).items()},
            "expert": np.repeat(np.arange(experts), values),
            "label": pa.repeat(column, n),
            "value": list(profile.values) * experts,
            "documents": np.tile(profile.documents, experts),
            "tokens": np.tile(profile.tokens, experts),
            "share": profile.share.ravel(),
            "baseline": np.repeat(profile.baseline, values),
            "recall": profile.recall.ravel(),
            "risk_ratio": profile.risk_ratio.ravel(),
            "low": profile.low.ravel(),
            "high": profile.high.ravel(),
            "level": np.full(n, profile.level),
            "comparisons": np.full(n, profile.comparisons),
        },
        LABELS_SCHEMA,
    )


def _tokens(counts: Counts, layer: int, pieces: Mapping[int, str]) -> pa.Table:
    table = tokens_of_layer(counts, layer)
    rows, experts = np.nonzero(table.counts)
    ids, taken = table.token_ids[rows], table.counts[rows, experts]
    shares = ratio(table.counts, table.counts.sum(axis=1, keepdims=True))
    words = pa.array([pieces[id_] for id_ in table.token_ids.tolist()], pa.string())
    about = {name: pa.repeat(value, len(ids)) for name, value in _about(counts, layer).items()}
    return _columns(
        {
            **about,
            "expert": experts,
            "token_id": ids,
            "piece": words.take(pa.array(rows)),
            "count": taken,
            "total": counts.token_table.tokens[ids],
            "share": shares[rows, experts],
            "pmi": table.information[rows, experts],
        },
        TOKENS_SCHEMA,
    )


def _about(counts: Counts, layer: int) -> dict[str, Any]:
    shape = counts.shape[layer]
    return {
        "layer": layer,
        "layer_name": shape.name,
        "stack": shape.stack,
        "block": shape.block,
    }


def _columns(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Columns with the schema's types; NaN becomes null."""
    arrays = [
        columns[field.name].cast(field.type)
        if isinstance(columns[field.name], pa.Array)
        else pa.array(columns[field.name], field.type, from_pandas=True)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)
