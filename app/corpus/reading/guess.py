"""Which column holds the text and which are labels, guessed from names and the first rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.corpus.reading.rows import label

TEXT_NAMES = (
    "text content sentence document body review article passage comment message tweet post"
).split()
LABEL_NAMES = frozenset(
    "domain language lang label labels category class source author pos genre topic split".split()
)
MOST_DISTINCT = 50


class ColumnSample:
    """What is kept of a column's values: lengths and distinct labels, not the values."""

    def __init__(self) -> None:
        self._strings = 0
        self._scalars = 0
        self._characters = 0
        self._numeric = True
        self._floats = False
        self._labels: set[str] = set()

    def add(self, value: Any) -> None:
        """One more value."""
        if isinstance(value, str):
            if not value.strip():
                return
            self._strings += 1
            self._characters += len(value)
            self._numeric = self._numeric and _is_number(value)
        if isinstance(value, (str, bool, int, float)):
            self._scalars += 1
            self._floats = self._floats or isinstance(value, float)
            self._labels.add(label(value))

    @property
    def has_text(self) -> bool:
        """Whether there are strings."""
        return self._strings > 0

    @property
    def has_scalars(self) -> bool:
        """Whether there is anything that can be a label."""
        return self._scalars > 0

    @property
    def mean_length(self) -> float:
        """Characters of a string on average; 0 where all are numbers, as they are in CSV."""
        return 0.0 if self._numeric else self._characters / self._strings

    def is_categorical(self, rows: int) -> bool:
        """Whether there are few distinct values for so many rows."""
        distinct = len(self._labels)
        few = 2 <= distinct <= MOST_DISTINCT and 2 * distinct <= rows
        return few and not self._floats


def text_column(samples: Mapping[str, ColumnSample]) -> str | None:
    """The column of a usual name, else the one of the longest strings; None without strings."""
    with_text = {name: sample for name, sample in samples.items() if sample.has_text}
    for usual in TEXT_NAMES:
        for name in with_text:
            if name.strip().lower() == usual:
                return name
    longest = max(with_text, key=lambda name: with_text[name].mean_length, default=None)
    return longest if longest is not None and with_text[longest].mean_length else None


def label_columns(samples: Mapping[str, ColumnSample], text: str, rows: int) -> Sequence[str]:
    """The columns of a usual name, and those of few distinct values, without the text."""
    return [
        name
        for name, sample in samples.items()
        if name != text
        and sample.has_scalars
        and (name.strip().lower() in LABEL_NAMES or sample.is_categorical(rows))
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
