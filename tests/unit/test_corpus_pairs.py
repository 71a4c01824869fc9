"""Two passes side by side: what their loads differ by, and how sure that is."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from app.corpus.atlas.pairs import load_differences, same_experts
from app.corpus.counting.counts import Counts
from app.figures.atlas.differences import load_differences_figure, load_differences_summary
from app.figures.theme import DARK, LIGHT, Theme
from tests.unit.test_corpus_atlas import PLANTED, VOCABULARY, counted

LAYERS, EXPERTS, TOKENS = 2, 4, 10


def drawn(seed: int, documents: int = 60, turned: int = 0) -> Counts:
    """Documents that each like one expert of each layer; `turned` of them like the next one."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(documents):
        liked = rng.integers(EXPERTS, size=LAYERS)
        liked = (liked + (number < turned)) % EXPERTS
        stray = rng.integers(EXPERTS, size=(LAYERS, TOKENS))
        chosen = np.where(rng.random((LAYERS, TOKENS)) < 0.8, liked[:, None], stray)
        made.append(("c", [0] * TOKENS, chosen[:, :, None].tolist()))
    return counted(made, EXPERTS)


def test_differences_by_hand() -> None:
    a = counted([("c", [0, 0], [[[0], [0]]]) for _ in range(4)], 3)
    b = counted([("c", [0, 0], [[[0], [1]]]) for _ in range(4)], 3)
    (found,) = load_differences(a, b, paired=False)
    assert found.value.tolist() == [-0.5, 0.5, 0]
    assert (found.n_a.tolist(), found.n_b.tolist()) == ([8, 0, 0], [4, 4, 0])
    # All documents of each are alike, so that resamples are too.
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    assert found.moved == 0.5


def test_a_pass_differs_from_itself_in_nothing() -> None:
    counts = drawn(0)
    for found in load_differences(counts, counts, paired=True):
        assert found.low.tolist() == found.high.tolist() == [0] * EXPERTS
        assert found.moved == 0


def test_chance_alone_is_sure_of_a_difference_as_seldom_as_it_says() -> None:
    # All intervals of two passes hold together with 95 %: ten or more of 80 would miss by
    # chance once in 150 times.
    missed = 0
    for seed in range(80):
        both = drawn(2 * seed, 40), drawn(2 * seed + 1, 40)
        found = load_differences(*both, paired=False)
        missed += any(((each.low > 0) | (each.high < 0)).any() for each in found)
    assert missed < 10


def test_independent_passes_of_one_seed_are_not_taken_for_the_same_documents() -> None:
    # Were the resamples of both paired, those of equal counts would not differ at all.
    counts = drawn(3)
    for found in load_differences(counts, counts, paired=False):
        assert (found.low < 0).all()
        assert (found.high > 0).all()


def test_the_same_documents_give_a_sharper_difference() -> None:
    a, b = drawn(4), drawn(4, turned=12)
    sharp, blunt = (load_differences(a, b, paired=paired) for paired in (True, False))
    for one, other in zip(sharp, blunt, strict=True):
        assert (one.high - one.low < other.high - other.low).all()


def test_other_layers_or_experts_have_no_difference() -> None:
    one, other = drawn(0), counted([("c", [0], [[[0]], [[0]]])], 3)
    assert not same_experts(one, other)
    with pytest.raises(ValueError, match="other layers or experts"):
        load_differences(one, other, paired=False)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_figure_shows_sure_differences_and_fades_the_others(theme: Theme) -> None:
    found = load_differences(drawn(5), drawn(5, turned=40), paired=True)
    figure = load_differences_figure(found, theme)
    go.Figure(figure)
    clear, faded, printed = figure["data"]
    assert clear["zmin"] == -clear["zmax"] == -1 / EXPERTS
    for layer, each in enumerate(found):
        for expert in range(EXPERTS):
            sure = each.low[expert] > 0 or each.high[expert] < 0
            assert (clear["z"][layer][expert] is not None) == sure
            assert (faded["z"][layer][expert] is None) == sure
            muted = printed["textfont"]["color"][layer * EXPERTS + expert] == theme.muted
            assert muted != sure
    assert "corrected interval" in clear["hovertext"][0][0]
    assert load_differences_summary(found).count("Layer") == LAYERS


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_nothing_counted_still_makes_a_figure(theme: Theme) -> None:
    empty = Counts.empty(PLANTED.shape, VOCABULARY, ("language",))
    found = load_differences(empty, empty, paired=False)
    assert all(np.isnan(each.low).all() for each in found)
    go.Figure(load_differences_figure(found, theme))
    assert load_differences_summary(found).endswith("none.")
