"""Which token of one trace stands for which of another: by place in the text, or by diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.routing.spelling import reading
from app.routing.trace import RoutingTrace, Stack, TokenSequence

Ints = NDArray[np.int64]

ONE_TO_ONE = "token by token: both read the same tokens"
BY_PLACE = "by place in the text: tokens that share characters; tokens without a place by piece"
BY_PIECE = "by a diff of the tokens: the longest sequence of tokens that both have"

_NO_PAIRS = np.empty((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Pairs of tokens, int64 [P, 2]: an index in a and one in b, in order of a, then of b.

    By place a token can be in several pairs. `tokens_a` and `tokens_b` count the tokens of
    each, `method` says in words how they were paired.
    """

    pairs: Ints
    tokens_a: int
    tokens_b: int
    method: str

    @property
    def only_a(self) -> Ints:
        """Tokens of a that have no partner, in order."""
        return np.setdiff1d(np.arange(self.tokens_a), self.pairs[:, 0])

    @property
    def only_b(self) -> Ints:
        """Tokens of b that have no partner, in order."""
        return np.setdiff1d(np.arange(self.tokens_b), self.pairs[:, 1])

    @property
    def aligned_a(self) -> int:
        return self.tokens_a - len(self.only_a)

    @property
    def aligned_b(self) -> int:
        return self.tokens_b - len(self.only_b)

    def one_to_one(self) -> Ints:
        """The pairs that are the last of both their tokens, int64 [n, 2]: no token twice.

        What takes tokens for independent is reckoned with these.
        """
        _, of_a = np.unique(self.pairs[::-1, 0], return_index=True)
        _, of_b = np.unique(self.pairs[::-1, 1], return_index=True)
        kept = len(self.pairs) - 1 - np.intersect1d(of_a, of_b)
        return np.asarray(self.pairs[np.sort(kept)])


def read_text(trace: RoutingTrace, stack: Stack) -> str | None:
    """The text that a stack read; None for a decoder that made its own."""
    return trace.text if stack == trace.stacks[0] else trace.target


def align(a: RoutingTrace, b: RoutingTrace, stack: Stack) -> Alignment:
    """Pairs the tokens of a stack that both traces have.

    Of one text by place, where both tokenizers tell it; otherwise by a diff of the pieces,
    written alike if the tokenizers differ. A diff of 8,192 tokens each takes half a second
    and 10 MB: it grows with the product of their numbers, which the token limit bounds.
    """
    one, other = a.sequences[stack], b.sequences[stack]
    text = read_text(a, stack)
    alike = a.provenance.get("tokenizer") == b.provenance.get("tokenizer")
    if alike and np.array_equal(one.token_ids, other.token_ids):
        pairs = np.repeat(np.arange(len(one))[:, None], 2, axis=1)
        return Alignment(pairs, len(one), len(other), ONE_TO_ONE)
    pieces = (_pieces(one, alike), _pieces(other, alike))
    if text is not None and text == read_text(b, stack) and _placed(one) and _placed(other):
        return Alignment(_by_place(one, other, *pieces), len(one), len(other), BY_PLACE)
    return Alignment(common(*pieces), len(one), len(other), BY_PIECE)


def _pieces(sequence: TokenSequence, alike: bool) -> list[str]:
    return list(sequence.tokens) if alike else [bare(token) for token in sequence.tokens]


def bare(piece: str) -> str:
    """A piece without its tokenizer's marks of spaces: «▁the», «Ġthe» and «the» are alike."""
    text = reading(piece)
    return text.strip(" ") or text


def _placed(sequence: TokenSequence) -> bool:
    return bool((sequence.offsets >= 0).any())


def _by_place(
    one: TokenSequence, other: TokenSequence, pieces: Sequence[str], others: Sequence[str]
) -> Ints:
    pairs = overlapping(one.offsets, other.offsets)
    a, b = (np.flatnonzero(sequence.offsets[:, 0] < 0) for sequence in (one, other))
    loose = common([pieces[i] for i in a.tolist()], [others[i] for i in b.tolist()])
    pairs = np.concatenate([pairs, np.stack([a[loose[:, 0]], b[loose[:, 1]]], axis=1)])
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def overlapping(a: Ints, b: Ints) -> Ints:
    """Which spans share a character, int64 [P, 2], of int64 [T, 2] begins and ends.

    Spans that begin at −1 share none. Takes n log n steps and one for each pair, if spans
    stand in some order of the text.
    """
    rows, columns = np.flatnonzero(a[:, 0] >= 0), np.flatnonzero(b[:, 0] >= 0)
    if not len(rows) or not len(columns):
        return _NO_PAIRS
    columns = columns[np.argsort(b[columns, 0], kind="stable")]
    # A span may end after the next one does: the search needs ends that only grow.
    ends = np.maximum.accumulate(b[columns, 1])
    first = np.searchsorted(ends, a[rows, 0], side="right")
    past = np.searchsorted(b[columns, 0], a[rows, 1], side="left")
    counts = np.maximum(past - first, 0)
    starts = np.repeat(first - np.cumsum(counts) + counts, counts)
    left, right = np.repeat(rows, counts), columns[starts + np.arange(counts.sum())]
    real = b[right, 1] > a[left, 0]
    pairs = np.stack([left[real], right[real]], axis=1)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def common(a: Sequence[str], b: Sequence[str]) -> Ints:
    """A longest common subsequence as pairs of indices, int64 [P, 2]; ties go to the end.

    Exact, and n·m steps at worst, however often a piece recurs: difflib would need their
    cube for a text of one word. What both begin and end with costs nothing.
    """
    if (len(b), list(b)) < (len(a), list(a)):
        # So that ties don't depend on which of the two comes first.
        return common(b, a)[:, ::-1]
    numbers: dict[str, int] = {}
    x, y = (np.array([numbers.setdefault(piece, len(numbers)) for piece in s]) for s in (a, b))
    shorter = min(len(x), len(y))
    end = _same_beginning(x[::-1][:shorter], y[::-1][:shorter])
    begin = _same_beginning(x[: shorter - end], y[: shorter - end])
    middle = _subsequence(x[begin : len(x) - end], y[begin : len(y) - end]) + begin
    beginning, tail = np.arange(begin), np.arange(-end, 0)
    return np.concatenate(
        [
            np.stack([beginning, beginning], axis=1),
            middle,
            np.stack([tail + len(x), tail + len(y)], axis=1),
        ]
    )


def _same_beginning(x: Ints, y: Ints) -> int:
    different = np.flatnonzero(x != y)
    return int(different[0]) if len(different) else len(x)


def _subsequence(x: Ints, y: Ints) -> Ints:
    if not len(x) or not len(y):
        return _NO_PAIRS
    # Lengths grow by 0 or 1 from column to column, so a row is kept as bits.
    steps = np.zeros((len(x) + 1, (len(y) + 7) // 8), np.uint8)
    before = np.zeros(len(y) + 1, np.int32)
    for row, number in enumerate(x, start=1):
        now = before.copy()
        np.maximum(now[1:], before[:-1] + (y == number), out=now[1:])
        np.maximum.accumulate(now, out=now)
        steps[row] = np.packbits(np.diff(now).astype(np.uint8))
        before = now
    pairs, column = [], len(y)
    for row in range(len(x), 0, -1):
        above = np.unpackbits(steps[row - 1], count=column)
        here = np.unpackbits(steps[row], count=column)
        if here.sum(dtype=np.int64) == above.sum(dtype=np.int64):
            continue
        # This row's token is in it: paired in the last column that lengthened the row.
        column = int(np.flatnonzero(here)[-1])
        pairs.append((row - 1, column))
    return np.array(pairs[::-1], np.int64).reshape(-1, 2)
