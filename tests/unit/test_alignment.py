"""Which token stands for which: worked out by hand, and against a plain dynamic program."""

from __future__ import annotations

import random
import time
from itertools import product

import numpy as np
import pytest

from app.routing.alignment import (
    BY_PIECE,
    BY_PLACE,
    ONE_TO_ONE,
    align,
    bare,
    common,
    overlapping,
)
from tests.unit.routings import NOWHERE, trace

OTHER = {"provenance": {"tokenizer": "another"}}


def longest(a: list[str], b: list[str]) -> int:
    """The length of a longest common subsequence, cell by cell."""
    lengths = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, j in product(range(len(a)), range(len(b))):
        lengths[i + 1, j + 1] = (
            lengths[i, j] + 1 if a[i] == b[j] else max(lengths[i, j + 1], lengths[i + 1, j])
        )
    return int(lengths[-1, -1])


class TestCommon:
    @pytest.mark.parametrize(
        ("a", "b", "pairs"),
        [
            ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
            ("abc", "axc", [(0, 0), (2, 2)]),
            ("abc", "xabcx", [(0, 1), (1, 2), (2, 3)]),
            ("abcd", "bd", [(1, 0), (3, 1)]),
            ("abc", "xyz", []),
            ("", "abc", []),
            ("a", "", []),
            # Of two places, that nearer to the end: the words stay together.
            ("the cat", "the dog, the cat", [(i, i + 9) for i in range(7)]),
        ],
    )
    def test_by_hand(self, a: str, b: str, pairs: list[tuple[int, int]]) -> None:
        assert common(a, b).tolist() == [list(pair) for pair in pairs]

    def test_is_as_long_as_can_be_and_in_order(self) -> None:
        generator = random.Random(1)
        for _ in range(500):
            a, b = (
                [generator.choice("abcd") for _ in range(generator.randint(0, 14))] for _ in "ab"
            )
            pairs = common(a, b)
            assert len(pairs) == longest(a, b)
            assert all(a[i] == b[j] for i, j in pairs)
            assert (np.diff(pairs, axis=0) > 0).all()

    def test_the_most_tokens_of_few_pieces_take_no_minutes(self) -> None:
        # What a diff by longest blocks takes minutes for.
        start = time.monotonic()
        pairs = common(["x"] * 8192, ["x", "y"] * 4096)
        assert len(pairs) == 4096
        assert time.monotonic() - start < 20


class TestOverlapping:
    def test_many_to_many(self) -> None:
        a = np.array([(0, 3), (3, 9), NOWHERE])
        b = np.array([NOWHERE, (0, 1), (1, 4), (4, 8), (8, 9), (9, 12)])
        assert overlapping(a, b).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [1, 4]]

    def test_as_every_span_asked_for_itself(self) -> None:
        generator = np.random.default_rng(3)
        for _ in range(200):
            a, b = (
                np.array([(s, s + generator.integers(1, 5)) for s in generator.integers(0, 20, n)])
                for n in generator.integers(1, 12, 2)
            )
            expected = [
                [i, j]
                for i, (p, q) in enumerate(a)
                for j, (r, s) in enumerate(b)
                if p < s and r < q
            ]
            assert overlapping(a, b).tolist() == expected

    def test_nothing_placed(self) -> None:
        assert overlapping(np.array([NOWHERE]), np.array([(0, 1)])).shape == (0, 2)


class TestAlign:
    def test_the_same_tokens_one_to_one_whatever_their_places(self) -> None:
        # Four bytes of one character: by place each would stand for all four.
        one = trace(["a", "b", "c", "d", "</s>"], offsets=[(0, 1)] * 4 + [NOWHERE])
        found = align(one, one, "encoder")
        assert found.pairs.tolist() == [[i, i] for i in range(5)]
        assert found.method == ONE_TO_ONE
        assert (found.aligned_a, len(found.only_a)) == (5, 0)

    def test_one_text_by_place_and_special_tokens_by_piece(self) -> None:
        a = trace(
            ["<s>", "▁un", "do", "</s>"], text="undo", offsets=[NOWHERE, (0, 2), (2, 4), NOWHERE]
        )
        b = trace(
            ["u", "nd", "o", "</s>"],
            text="undo",
            offsets=[(0, 1), (1, 3), (3, 4), NOWHERE],
            **OTHER,
        )
        found = align(a, b, "encoder")
        assert found.method == BY_PLACE
        assert found.pairs.tolist() == [[1, 0], [1, 1], [2, 1], [2, 2], [3, 3]]
        assert (found.only_a.tolist(), found.only_b.tolist()) == ([0], [])
        assert (found.aligned_a, found.aligned_b) == (3, 4)
        # Each token once at most, with the one that it ends in or with.
        assert found.one_to_one().tolist() == [[2, 2], [3, 3]]

    def test_one_text_without_places_by_piece(self) -> None:
        a = trace(["▁the", "▁sea", "</s>"], text="the sea", offsets=[(0, 3), (3, 7), NOWHERE])
        b = trace(["the", "Ġsea", "s", "</s>"], text="the sea", **OTHER)
        found = align(a, b, "encoder")
        assert found.method == BY_PIECE
        assert found.pairs.tolist() == [[0, 0], [1, 1], [2, 3]]
        assert found.only_b.tolist() == [2]

    def test_two_texts_by_piece(self) -> None:
        places = [(0, 1), (1, 2), (2, 3)]
        a = trace(["▁a", "▁b", "▁c"], offsets=places)
        b = trace(["▁x", "▁a", "▁c"], offsets=places)
        found = align(a, b, "encoder")
        assert found.method == BY_PIECE
        assert found.pairs.tolist() == [[0, 1], [2, 2]]
        assert (found.only_a.tolist(), found.only_b.tolist()) == ([1], [0])

    def test_one_tokenizer_tells_a_space_from_none(self) -> None:
        found = align(trace(["▁a", "b"]), trace(["a", "b"]), "encoder")
        assert found.pairs.tolist() == [[1, 1]]

    def test_nothing_in_common(self) -> None:
        found = align(trace(["x"]), trace(["y"]), "encoder")
        assert found.pairs.shape == found.one_to_one().shape == (0, 2)
        assert (found.aligned_a, found.only_b.tolist()) == (0, [0])

    def test_generated_tokens_follow_those_of_the_prompt(self) -> None:
        a = trace(["▁a", "▁b", "▁c"], stack="decoder", text="a", offsets=[(0, 1), NOWHERE, NOWHERE])
        b = trace(
            ["a", "▁c", "▁d"],
            stack="decoder",
            text="a",
            offsets=[(0, 1), NOWHERE, NOWHERE],
            **OTHER,
        )
        assert align(a, b, "decoder").pairs.tolist() == [[0, 0], [2, 1]]

    def test_swapping_swaps_the_pairs(self) -> None:
        generator = random.Random(2)
        for _ in range(100):
            a, b = (
                trace([generator.choice("abc") for _ in range(generator.randint(1, 9))])
                for _ in "ab"
            )
            there, back = align(a, b, "encoder"), align(b, a, "encoder")
            assert there.pairs.tolist() == back.pairs[:, ::-1].tolist()


@pytest.mark.parametrize(
    ("piece", "spelt"),
    [("▁the", "the"), ("Ġthe", "the"), ("the", "the"), ("##ing", "ing"), ("▁", " "), ("Ċ", "\n")],
)
def test_marks_of_spaces(piece: str, spelt: str) -> None:
    assert bare(piece) == spelt
