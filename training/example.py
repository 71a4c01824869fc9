"""The corpus that ships with the app: the held-out sample, its domains as labels of their own.

``python -m training.example`` writes it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
HELD_OUT = HERE / "heldout.jsonl.gz"
EXAMPLE = HERE.parent / "app" / "corpus" / "example.jsonl.gz"

_LANGUAGES = ("fr", "de", "es", "it", "pt", "ru", "ja")
_PROGRAMMING = ("python", "c", "javascript")


def labels(domain: str) -> dict[str, str]:
    """Domain, natural language and programming language of a domain of the sample."""
    if domain in _LANGUAGES:
        return {"domain": "technical", "language": domain, "programming": ""}
    if domain in _PROGRAMMING:
        return {"domain": "code", "language": "", "programming": domain}
    if domain == "arithmetic":
        return {"domain": domain, "language": "", "programming": ""}
    return {"domain": domain, "language": "en", "programming": ""}


def documents() -> Iterator[dict[str, str]]:
    """The documents of the example, in the order of the sample."""
    with gzip.open(HELD_OUT, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield {"text": row["text"], **labels(row["domain"])}


def main() -> None:
    """Writes the example; the same bytes each time."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in documents())
    EXAMPLE.write_bytes(gzip.compress(content.encode(), mtime=0))


if __name__ == "__main__":
    main()
