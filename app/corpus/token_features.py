"""What can be told of a token by looking at it: its surface, without what the model makes of it.

Features of the piece come from the vocabulary alone; only the word start, the place in the
document and the token before depend on where it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.routing.spelling import reading, spelt

START = "(start)"
PREVIOUS = "previous_"
LABEL = "label_"

# What each feature says. All but `position` come again for the token before, as `previous_…`:
# `piece` is "(start)" where there is none, the others are missing.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "piece": "the piece of the vocabulary, white space made visible",
        "token_id": "its number in the vocabulary; in those of BPE, frequent pieces come first",
        "kind": "word, number, punctuation, mixed, space, part (of a character), or special",
        "length": "characters, without white space around; 0 where it stands for no text",
        "script": "that of its first letter: latin, cyrillic, cjk, …; none without letters",
        "case": "lower, upper, title, or mixed; none without letters that have a case",
        "digits": "how many of its characters are digits",
        "punctuation": "how many are punctuation or symbols",
        "word_start": "yes where it begins a word, else no",
        "position": "its place in the document, from 0, special tokens counted",
    }
)
NUMBERS = frozenset({"token_id", "length", "digits", "punctuation", "position"})

_VISIBLE = str.maketrans({" ": "▁", "\n": "⏎", "\t": "⇥", "\r": "␍"})
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_WORD_PIECE = "##"
_BYTE_LEVEL = "Ġ"


class _Looks(NamedTuple):
    """A piece by itself. `opens`: begins with white space; `ends`: with such, the next opens."""

    piece: str
    kind: str
    length: int
    script: str
    case: str
    digits: int
    punctuation: int
    opens: bool
    ends: bool


class Vocabulary:
    """The pieces of a tokenizer by token id, and which ids stand for no text (`special`)."""

    def __init__(self, pieces: Mapping[int, str], special: Collection[int]) -> None:
        self._pieces = pieces
        self._special = frozenset(special)
        self._byte_level = any(piece.startswith(_BYTE_LEVEL) for piece in pieces.values())
        self._word_pieces = any(
            piece.startswith(_WORD_PIECE) and len(piece) > 2 for piece in pieces.values()
        )

    def looks(self, token_id: int) -> _Looks:
        """What a token looks like. KeyError outside the vocabulary."""
        piece = self._pieces[token_id]
        shown = piece.translate(_VISIBLE).encode("utf-8", "replace").decode()
        if token_id in self._special:
            # What follows one begins anew.
            return _Looks(shown, "special", 0, "none", "none", 0, 0, False, True)
        if self._is_part(piece):
            return _Looks(shown, "part", 1, "none", "none", 0, 0, False, False)
        text = reading(piece)
        body = text.strip()
        kinds = [unicodedata.category(each) for each in body]
        digits = sum(kind == "Nd" for kind in kinds)
        punctuation = sum(kind[0] in "PS" for kind in kinds)
        opens = text[:1].isspace()
        if self._word_pieces:
            opens = not piece.startswith(_WORD_PIECE)
        return _Looks(
            shown,
            _kind(kinds),
            len(body),
            script(body),
            case(body),
            digits,
            punctuation,
            opens and bool(body),
            text[-1:].isspace(),
        )

    def _is_part(self, piece: str) -> bool:
        """Whether it is bytes that are no whole characters."""
        byte_level = self._byte_level and spelt(reading(piece)) != piece
        return byte_level or bool(_BYTE.fullmatch(piece))


def features(
    vocabulary: Vocabulary,
    token_ids: NDArray[np.integer],
    positions: NDArray[np.integer],
    documents: NDArray[np.integer],
    labels: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """The features of tokens, a row each: float64 for `NUMBERS`, str for all others.

    All int [n], tokens of a document one after another; a token has one before it if that is at
    the place before in its document. `labels`, by column and for each token, become `label_…`,
    "" missing. KeyError for a token outside the vocabulary.
    """
    unique, place = np.unique(token_ids, return_inverse=True)
    looks = pd.DataFrame([vocabulary.looks(int(each)) for each in unique], columns=_Looks._fields)
    looks.insert(1, "token_id", unique)
    follows = np.zeros(len(token_ids), dtype=np.bool_)
    follows[1:] = (documents[1:] == documents[:-1]) & (positions[1:] == positions[:-1] + 1)
    before = np.arange(len(token_ids)) - follows

    its = {name: looks[name].to_numpy()[place] for name in looks.columns}
    anew = ~follows | its.pop("ends")[before]
    begins = its.pop("opens") | (anew & (its["length"] > 0))
    its["word_start"] = np.where(begins, "yes", "no")
    own = {name: _series(name, values) for name, values in its.items()}
    found = own | {"position": _series("position", positions)}
    for name, column in own.items():
        previous = column.take(before).reset_index(drop=True)
        nothing = START if name == "piece" else np.nan
        found[PREVIOUS + name] = previous.where(follows, nothing)
    for name, values in (labels or {}).items():
        column = pd.Series(list(values), dtype="str")
        found[LABEL + name] = column.mask(column == "")
    return pd.DataFrame(found)


def _series(name: str, values: NDArray[Any]) -> pd.Series:
    return pd.Series(values, dtype="float64" if name in NUMBERS else "str")


def _kind(categories: Sequence[str]) -> str:
    """By the Unicode categories of the characters."""
    if not categories:
        return "space"
    # Marks belong to the letters that they stand on.
    groups = {{"M": "L", "S": "P"}.get(each[0], each[0]) for each in categories}
    if len(groups) > 1:
        return "mixed"
    return {"L": "word", "N": "number", "P": "punctuation"}.get(groups.pop(), "mixed")


def case(text: str) -> str:
    """The case of its letters; a single capital is "upper"."""
    letters = [each for each in text if each.isupper() or each.islower() or each.istitle()]
    if not letters:
        return "none"
    if all(each.islower() for each in letters):
        return "lower"
    if all(each.isupper() for each in letters):
        return "upper"
    rest_lower = all(each.islower() for each in letters[1:])
    return "title" if rest_lower else "mixed"


def script(text: str) -> str:
    """The script of its first letter, "none" without one."""
    return next((_script(each) for each in text if each.isalpha()), "none")


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The first word of the letter's name in Unicode, which for letters is nearly always its
    script: Python's tables have no other."""
    plain = unicodedata.normalize("NFKC", letter)[0]
    return unicodedata.name(plain, "other").split()[0].lower()
