"""Where the rows of a training come from: a file, or the tokens of a pass over a corpus.

Of a pass some whole documents are taken, as long as their tokens stay below 60,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.corpus.counting.counts import Counts
from app.corpus.library import Library, Pass, PassNotFoundError
from app.corpus.parts import part_files
from app.corpus.reading.source import Corpus, Selection, SourceError, digest
from app.corpus.surface import GROUP, TARGET, SurfaceError, surface
from app.corpus.token_features import Vocabulary
from app.tables.errors import TableError
from app.tables.reading import Table, read

# So that a layer takes minutes.
_ROUTER_ROWS = 60_000


def router(found: Pass, counts: Counts, layer: int, special: frozenset[int]) -> dict[str, Any]:
    """The source that is one router layer of a pass, counted from 0; `special` are the ids of
    tokens that stand for no text. Raises TableError if the pass can't be learnt from."""
    if not found.about.order.tokens:
        raise TableError("the pass did not keep the routing of each token; run it again with it")
    if not found.state.finished:
        raise TableError("the pass has not read its corpus to the end")
    if not 0 <= layer < len(counts.shape):
        raise TableError(f"the pass has no router layer {layer}")
    shape = counts.shape[layer]
    return {
        "pass": found.about.id,
        "layer": layer,
        "layer_name": shape.name,
        "name": f"{found.about.order.name}, {shape.stack} block {shape.block}",
        "model": found.about.order.model,
        "special": sorted(special),
    }


def read_source(source: Mapping[str, Any], data: Path) -> Table:
    """The rows; `data` is the folder with the passes. Raises TableError."""
    if "file" in source:
        return read(Path(source["file"]))
    library = Library(data)
    try:
        found = library.find(source["pass"])
        counts, pieces = library.counts(found.about.id), library.pieces(found.about.id)
        order = found.about.order
        corpus = Corpus([Path(name) for name in order.files], Selection(order.text, order.labels))
        table = surface(
            _parts(library, found),
            counts.shape[source["layer"]],
            Vocabulary(pieces, source["special"]),
            corpus if order.labels else None,
            _ROUTER_ROWS,
        )
    except (PassNotFoundError, FileNotFoundError):
        raise TableError("the pass that the tokens are of is not here any more") from None
    except (SourceError, SurfaceError) as error:
        raise TableError(str(error)) from error
    except (OSError, pa.ArrowException) as error:
        raise TableError("the tokens of the pass can't be read") from error
    return Table(table.frame)


def digest_of(source: Mapping[str, Any], data: Path) -> str:
    """SHA-256 of what the rows are read from, in hexadecimal digits. Raises TableError."""
    try:
        if "file" in source:
            return digest([Path(source["file"])])
        library = Library(data)
        return digest(_parts(library, library.find(source["pass"])))
    except (SourceError, PassNotFoundError) as error:
        raise TableError(str(error)) from error


def group_of(source: Mapping[str, Any]) -> str | None:
    """The column whose rows belong together, None for a file."""
    return None if "file" in source else GROUP


def target_of_source(source: Mapping[str, Any]) -> str | None:
    """The only column that is worth predicting, None for a file."""
    return None if "file" in source else TARGET


def _parts(library: Library, found: Pass) -> list[Path]:
    return part_files(library.folder(found.about.id), found.state.parts)
