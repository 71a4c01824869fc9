"""Real sentences of many kinds, the same in every run."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

_HELD_OUT = Path(__file__).parents[1] / "training" / "heldout.jsonl.gz"
_MOST_CHARACTERS = 300


def sentences(count: int) -> list[str]:
    """So many lines of the texts that the bundled model was not trained on, drawn by a seed."""
    with gzip.open(_HELD_OUT, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    lines = {
        line.strip()[:_MOST_CHARACTERS]
        for text in texts
        for line in text.splitlines()
        if line.strip()
    }
    return random.Random(5).sample(sorted(lines), count)
