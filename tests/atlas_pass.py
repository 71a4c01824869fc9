"""Real passes over small corpora, for the tests of what is made of them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from app.corpus.order import Order
from app.corpus.state import id_of
from app.passes import Passes
from app.settings import load_settings

HELDOUT = Path(__file__).parents[1] / "training" / "heldout.jsonl.gz"


def write_corpus(path: Path, each: int) -> int:
    """The first `each` documents of every domain of the held-out corpus; gives how many."""
    seen: Counter[str] = Counter()
    lines = []
    with gzip.open(HELDOUT, "rt", encoding="utf-8") as rows:
        for line in rows:
            domain = json.loads(line)["domain"]
            seen[domain] += 1
            if seen[domain] <= each:
                lines.append(line)
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def make_pass(
    data: Path,
    corpus: Path,
    name: str,
    max_tokens: int = 128,
    stop: Callable[[], bool] = lambda: False,
    tokens: bool = False,
) -> str:
    """Runs the bundled model over a corpus with a `domain`; gives the pass' id."""
    passes = Passes(load_settings(MOESCOPE_DATA_DIR=data))
    order = Order((str(corpus),), "text", ("domain",), "switch-mini-8", max_tokens, name, tokens)
    id_ = id_of(order)
    passes.library.submit(id_, order, corpus.stat().st_size)
    passes.go_on(id_, lambda _progress: None, stop)
    return id_
