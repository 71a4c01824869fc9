"""The tokens of a real pass as rows of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.automl.order import Order
from app.corpus.library import Library
from app.corpus.surface import GROUP, TARGET
from app.preparing import prepare
from app.sources import digest_of, read_source, router
from app.tables.errors import TableError
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Folder

LAYER = 1


@pytest.fixture(scope="module")
def data(data_folder: Folder) -> Path:
    return data_folder()


@pytest.fixture(scope="module")
def pass_id(data: Path) -> str:
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 2)
    return make_pass(data, corpus, "with tokens", 64, tokens=True)


@pytest.fixture(scope="module")
def source(data: Path, pass_id: str) -> dict[str, object]:
    library = Library(data)
    return router(library.find(pass_id), library.counts(pass_id), LAYER, frozenset({1}))


def test_a_row_per_token_and_its_first_expert(
    data: Path, pass_id: str, source: dict[str, object]
) -> None:
    counts = Library(data).counts(pass_id)
    frame = read_source(source, data).frame
    assert len(frame) == counts.tokens
    assert set(frame[TARGET]) <= {str(each) for each in range(counts.shape[LAYER].num_experts)}
    assert source["layer_name"] == counts.shape[LAYER].name
    assert frame.loc[frame["token_id"] == 1, "kind"].eq("special").all()


def test_documents_are_not_torn_apart(data: Path, source: dict[str, object]) -> None:
    order = Order(source=source, target=TARGET, name="router")
    prepared = prepare(order, data)
    recipe = prepared.about["fitted"]["recipe"]
    assert recipe["group"] == GROUP
    assert GROUP not in recipe["features"]
    assert {"piece", "label_domain", "previous_piece"} <= set(recipe["features"])
    rows = prepared.rows
    assert rows.training_groups is not None
    assert rows.holdout_groups is not None
    assert not set(rows.training_groups) & set(rows.holdout_groups)
    assert prepared.about["digest"] == digest_of(source, data)


def test_a_pass_that_is_gone_or_kept_no_tokens_is_told(
    data: Path, pass_id: str, source: dict[str, object]
) -> None:
    with pytest.raises(TableError, match="not here any more"):
        read_source({**source, "pass": "0" * 32}, data)
    with pytest.raises(TableError, match="no such pass"):
        digest_of({**source, "pass": "0" * 32}, data)
    library = Library(data)
    found, counts = library.find(pass_id), library.counts(pass_id)
    with pytest.raises(TableError, match="no router layer 99"):
        router(found, counts, 99, frozenset())
    without = make_pass(data, Path(found.about.order.files[0]), "without", 16)
    with pytest.raises(TableError, match="did not keep"):
        router(library.find(without), library.counts(without), 0, frozenset())
