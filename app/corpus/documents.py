"""What a corpus is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus.

    `number` counts the documents from 0 over all files; `labels` by column, "" where missing.
    """

    number: int
    text: str
    labels: Mapping[str, str]
