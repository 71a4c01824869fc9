"""The search for a token in the atlas: which pieces of a vocabulary a typed text finds."""

from __future__ import annotations

import pytest

from app.pages.experts.tokens import found_words, matches
from app.routing.spelling import reading, spelt
from tests.unit.test_corpus_atlas import counted

BYTES = ("Paris", " Paris", " paris", "comparison", " été", "étés", "É", "好", "ã", "</s>", " x")
BYTE_LEVEL = {id_: spelt(text) for id_, text in enumerate(BYTES)}
MARKED = {id_: text.replace(" ", "▁") for id_, text in enumerate(BYTES)}
# How often the corpus has each token; it lacks the last.
COUNTS = counted([("c", [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9], [[[0]] * 12])], 2)


def found(pieces: dict[int, str], text: str) -> list[str]:
    readings = {id_: reading(piece) for id_, piece in pieces.items()}
    return [BYTES[match.token_id] for match in matches(COUNTS, pieces, readings, text)]


@pytest.mark.parametrize("pieces", [BYTE_LEVEL, MARKED], ids=["bytes", "marks"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", ["Paris", " Paris", " paris", "comparison"]),
        (" été ", [" été", "étés"]),
        ("éTé", [" été", "étés"]),
        ("é", ["É", "étés", " été"]),
        ("好", ["好"]),
        ("ã", ["ã"]),
        ("x", [" x"]),
        ("", []),
        ("nowhere", []),
    ],
)
def test_a_text_finds_the_pieces_that_read_so(
    pieces: dict[int, str], text: str, expected: list[str]
) -> None:
    assert sorted(found(pieces, text)) == sorted(expected)
    assert found(pieces, text)[:1] == expected[:1]


def test_what_a_piece_is_spelt_like_finds_it_too() -> None:
    assert found(BYTE_LEVEL, "ĠÃ©") == [" été"]
    assert found(BYTE_LEVEL, "ĠParis")[0] == " Paris"
    assert found(MARKED, "▁Par") == [" Paris"]
    assert found(MARKED, "«▁paris»")[0] == " paris", "a whole piece comes first"
    assert found(BYTE_LEVEL, f"«{spelt(' été')}»")[0] == " été"


def test_bytes_are_shown_with_what_they_stand_for() -> None:
    def shown(pieces: dict[int, str], text: str) -> str:
        readings = {id_: reading(piece) for id_, piece in pieces.items()}
        return found_words(COUNTS, matches(COUNTS, pieces, readings, text), text)

    assert "<code>ĠÃ©tÃ©</code> « été» 2" in shown(BYTE_LEVEL, "été")
    assert "<code>▁été</code> 2" in shown(MARKED, "été")
    assert "<code>ĠParis</code> 1" in shown(BYTE_LEVEL, "Paris")
    assert "This piece is not in the corpus" in shown(BYTE_LEVEL, "x")
    assert "No piece of the vocabulary holds «nowhere»" in shown(BYTE_LEVEL, "nowhere")
