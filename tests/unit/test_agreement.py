"""How agreement of choices is counted, and told."""

from __future__ import annotations

import pytest

from app.routing.agreement import TEXTS, Agreement, agreement
from tests.unit.routings import trace

TOKENS = ("a", "b", "c")


def test_the_texts_are_two_dozen_different_ones() -> None:
    assert len(set(TEXTS)) == len(TEXTS) == 24


def test_each_choice_of_each_layer_and_token_counts_once() -> None:
    exact = trace(TOKENS, [[[0], [1], [2]], [[3], [3], [3]]])
    other = trace(TOKENS, [[[0], [1], [3]], [[3], [0], [3]]])
    assert agreement([exact], [exact]) == (1.0, 6, None)
    assert agreement([exact, exact], [exact, other]) == (10 / 12, 12, None)


def test_the_order_of_rank_is_no_matter() -> None:
    exact, other = trace(("a", "b"), [[[0, 1], [2, 3]]]), trace(("a", "b"), [[[1, 0], [2, 0]]])
    assert agreement([exact], [other]) == (0.75, 4, None)


@pytest.mark.parametrize(
    ("share", "told"), [(0.98765, "98.7%"), (0.9999, "99.9%"), (1.0, "100.0%"), (0.0, "0.0%")]
)
def test_the_note_promises_no_more_than_there_is(share: float, told: str) -> None:
    assert Agreement(share, 8424).note() == (
        f"fast mode, linear layers in bfloat16: {told} of 8,424 expert choices are those of "
        "float32 on a fixed set of 24 texts"
    )


def test_the_note_tells_of_batches_where_they_were_tried() -> None:
    assert Agreement(0.9945, 8424, 0.9942).note().endswith("24 texts, 99.4% in one batch")


@pytest.mark.parametrize(
    ("together", "batches"), [(None, False), (0.9, False), (0.984, False), (0.986, True), (1, True)]
)
def test_texts_share_batches_only_where_that_costs_no_agreement(
    together: float | None, batches: bool
) -> None:
    assert Agreement(0.99, 8424, together).batches is batches
