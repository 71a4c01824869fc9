"""The cards of the atlas, as they are written into the page."""

from __future__ import annotations

import re

import pytest

from app.corpus.atlases import Atlas
from app.pages.experts.cards import cards, more, note
from tests.unit.test_corpus_atlas import PIECES, PLANTED, counted

PLANTED_ATLAS = Atlas(PLANTED, PIECES)
# Of one document; expert 2 gets nothing.
ATLAS = Atlas(counted([("c", [0, 1, 2, 3], [[[0], [1], [0], [0]]])], 3), PIECES)


def text_of(html: str) -> str:
    return re.sub("<[^>]+>", "", html)


def test_an_expert_without_tokens_says_so_and_no_more() -> None:
    first, second, last = cards(ATLAS, 0, "language", "number").split("</article>")[:3]
    assert "<details>" in first
    assert "<details>" in second
    assert "No token of this corpus went to it." in last
    assert "<details>" not in last
    assert "<table" not in last
    assert "came here" not in last


def test_without_a_second_document_no_interval_is_written() -> None:
    assert note(ATLAS, 0, "").startswith("Without a second document there are no intervals.")
    assert "load 75.0%, 1/N 33.3%" in text_of(cards(ATLAS, 0, "language", "number"))
    assert "of 90 documents" in note(PLANTED_ATLAS, 0, "")
    assert re.search(r"load 3\d\.\d% \(\d", text_of(cards(PLANTED_ATLAS, 1, "language", "load")))


@pytest.mark.parametrize("expert", range(4))
def test_a_card_unfolds_into_what_there_is(expert: int) -> None:
    ((place, html),) = more(PLANTED_ATLAS, 0, "language", expert).items()
    assert place == f"more-0-0-{expert}"
    titles = re.findall("<h4>([^<]+)</h4>", html)
    # The last expert takes nothing but a special token, which is none of its top tokens.
    tokens = ["Tokens"] if expert < 3 else []
    assert titles == ["By position", "Neighbours", *tokens, "Examples"]


def test_an_expert_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        more(PLANTED_ATLAS, 0, "language", 4)
