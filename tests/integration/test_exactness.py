"""In exact mode the choices are those of the library's own plain forward, the logits within 1e-4.

The same for a model of full size stands in test_standin.py.
"""

from __future__ import annotations

import pytest

from app.routing.loaded import LoadedModel
from app.settings import BUNDLED_FOLDER
from tests.against_library import compare, plain_model
from tests.texts import sentences


@pytest.mark.parametrize("many", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_hundreds_of_sentences_with_the_bundled_model(loaded: LoadedModel, many: int) -> None:
    texts = sentences(many)
    assert len(set(texts)) == many
    choices, worst = compare(loaded, plain_model(BUNDLED_FOLDER), texts)
    assert choices > 50 * many
    assert worst <= 1e-4
