"""How pieces are spelt, and what they stand for."""

from __future__ import annotations

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from app.routing.spelling import reading, spelt

TEXTS = (
    " été",
    "Paris",
    "naïve",
    "你好",
    " 😀",
    "\tif x:\n",
    "ру́сский",
    "#",
    "a b",
    "¡\x7f\xad\u00a0",
)


@pytest.mark.parametrize("text", TEXTS)
def test_byte_level_spelling_is_the_librarys(text: str) -> None:
    split = ByteLevel(add_prefix_space=False, use_regex=False)
    assert [piece for piece, _ in split.pre_tokenize_str(text)] == [spelt(text)]
    assert reading(spelt(text)) == text


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        ("▁the", " the"),
        ("▁été", " été"),
        ("ĠÃ©tÃ©", " été"),
        ("é", "é"),
        ("##ing", "ing"),
        ("##", "##"),
        ("", ""),
        ("</s>", "</s>"),
        # The first byte of a character, and a byte as another kind of vocabulary spells it.
        ("Ã", "Ã"),
        ("Ġä½", " ä½"),
        ("<0xC3>", "<0xC3>"),
    ],
)
def test_what_a_piece_stands_for(piece: str, text: str) -> None:
    assert reading(piece) == text
