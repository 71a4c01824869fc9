"""A corpus as a model reads it: a stretch of documents at a time, each as tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.corpus.documents import Document
from app.corpus.reading.source import Corpus, Place
from app.routing.encoding import Encoded, Tokenizing, encode_beginning
from app.routing.errors import InvalidTextError, TextTooLongError

NO_TOKENS = "no token for the model"


@dataclass
class Window:
    """Documents with their tokens, and of each whether it is only the beginning (`cut`).

    `after`: where the corpus goes on.
    """

    documents: list[Document] = field(default_factory=list)
    encoded: list[Encoded] = field(default_factory=list)
    cut: list[bool] = field(default_factory=list)
    tokens: int = 0
    after: Place | None = None


def windows(
    loaded: Tokenizing, corpus: Corpus, start: Place | None, tokens: int, max_tokens: int
) -> Iterator[Window]:
    """Windows from `start` on; each ends with the document that brings it to `tokens`.

    Documents in which the model finds no token are skipped and counted with the corpus'.
    """
    window = Window()
    for document, place in corpus.documents(start):
        window.after = place
        try:
            encoded, characters = encode_beginning(loaded, document.text, max_tokens)
        except (InvalidTextError, TextTooLongError):
            corpus.skip(NO_TOKENS, place)
            continue
        window.documents.append(document)
        window.encoded.append(encoded)
        window.cut.append(characters < len(document.text))
        window.tokens += len(encoded.ids)
        if window.tokens >= tokens:
            yield window
            window = Window()
    if window.after is not None:
        yield window
