"""In exact mode the choices are those of the library's own plain forward, the logits within 1e-4.

The same for a model of full size stands in test_standin.py.
"""

from __future__ import annotations

from app.routing.loaded import LoadedModel
from app.settings import BUNDLED_FOLDER
from tests.against_library import compare, plain_model
from tests.texts import sentences


def test_a_thousand_sentences_with_the_bundled_model(loaded: LoadedModel) -> None:
    texts = sentences(1000)
    assert len(set(texts)) == 1000
    choices, worst = compare(loaded, plain_model(BUNDLED_FOLDER), texts)
    assert choices > 50_000
    assert worst <= 1e-4
