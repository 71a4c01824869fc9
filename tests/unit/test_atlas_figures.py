"""Figures of an expert atlas: valid for Plotly, true to the counts, in both themes."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote

import numpy as np
import plotly.graph_objects as go
import pytest

from app.corpus.atlas import label_information, label_profile, load, token_routing
from app.corpus.atlas.seriation import seriated
from app.corpus.atlases import Atlas
from app.corpus.counting.counts import Counts
from app.figures.atlas.colors import counted_colors
from app.figures.atlas.information import information_figure
from app.figures.atlas.loads import two_loads_figure
from app.figures.atlas.report import report_figures
from app.figures.atlas.risk import MOST_VALUES, risk_figure, risk_summary
from app.figures.atlas.similarity import similarity_figure
from app.figures.atlas.token import token_figure
from app.figures.atlas.whisker import whisker
from app.figures.atlas.words import interval, ratio_text, share
from app.figures.theme import DARK, LIGHT, Theme
from tests.unit.test_corpus_atlas import LANGUAGES, PIECES, PLANTED, VOCABULARY, counted

ATLAS = Atlas(PLANTED, PIECES)


def many_values(values: int) -> Counts:
    """One document of one token for each label value; the later have more tokens."""
    return counted([(f"v{i:03d}", [1] * (1 + i), [[[i % 2]] * (1 + i)]) for i in range(values)], 2)


def drawn(theme: Theme) -> dict[str, dict[str, Any]]:
    found = [label_information(PLANTED, layer, "language") for layer in range(3)]
    return {
        "information": information_figure(found, theme, 1),
        "two": information_figure(found, theme, 0, found[:2]),
        "risk": risk_figure(label_profile(PLANTED, 1, "language"), theme),
        "similarity": similarity_figure(ATLAS.similarity(0), theme),
        "token": token_figure(token_routing(PLANTED, 12), theme),
        "loads": two_loads_figure(load(PLANTED, 0), load(PLANTED, 1), theme),
    }


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_figure_is_valid_and_of_kinds_that_the_page_has(theme: Theme) -> None:
    for name, figure in drawn(theme).items():
        go.Figure(figure)
        assert {trace["type"] for trace in figure["data"]} <= {"scatter", "heatmap"}, name
        assert figure["layout"]["font"]["color"] == theme.text
    for figures in report_figures(ATLAS).values():
        for figure in figures.values():
            go.Figure(figure)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_of_nothing_are_valid(theme: Theme) -> None:
    counts = Counts.empty(PLANTED.shape, VOCABULARY, ("language",))
    atlas = Atlas(counts, PIECES)
    for figure in (
        information_figure(atlas.information("language"), theme),
        risk_figure(atlas.profile(0, "language"), theme),
        similarity_figure(atlas.similarity(0), theme),
        token_figure(token_routing(counts, 3), theme),
        two_loads_figure(load(counts, 0), load(counts, 0), theme),
    ):
        go.Figure(figure)


def test_risk_ratios_are_around_chance_and_unclear_ones_are_faded() -> None:
    profile = label_profile(PLANTED, 1, "language")
    clear, faded, printed = risk_figure(profile)["data"]
    assert clear["colorscale"][1] == [0.5, LIGHT.ground]
    assert clear["zmin"] == -clear["zmax"]
    assert faded["colorscale"] != clear["colorscale"]
    for value in range(3):
        for expert in range(4):
            low, high = profile.low[expert, value], profile.high[expert, value]
            sure = low > 1 or high < 1
            assert (clear["z"][value][expert] is not None) == sure
            assert (faded["z"][value][expert] is None) == sure
            said = printed["text"][value * 4 + expert]
            assert (said != "\u00a0") == sure
        bits = math.log2(profile.risk_ratio[value, value])
        assert clear["z"][value][value] == pytest.approx(min(bits, 3), abs=1e-3)
    hover = clear["hovertext"][0][0]
    assert "risk ratio" in hover
    assert "30 documents" in hover
    summary = risk_summary(profile, "language")
    assert all(f"expert {i}: {name} " in summary for i, name in enumerate(LANGUAGES))


def test_of_many_values_those_with_the_most_tokens_are_shown() -> None:
    profile = label_profile(many_values(60), 0, "language")
    names = risk_figure(profile)["layout"]["yaxis"]["ticktext"]
    assert names == [f"v{i:03d}" for i in range(60 - MOST_VALUES, 60)]


def test_label_values_cannot_write_markup() -> None:
    counts = counted([("<b>x</b>", [1, 2], [[[0], [1]]]), ("y", [1], [[[0]]])], 2)
    figure = risk_figure(label_profile(counts, 0, "language"))
    assert "<b>" not in str(figure["layout"]["yaxis"]["ticktext"])
    assert "<b>" not in str(figure["data"][0]["hovertext"])


def test_information_stands_with_interval_and_null() -> None:
    found = [label_information(PLANTED, layer, "language") for layer in range(3)]
    band, mean, bits = information_figure(found, LIGHT, 1)["data"]
    assert band["y"] == [each.null_high for each in found]
    assert mean["y"] == [each.null_bits for each in found]
    assert bits["y"] == [each.bits for each in found]
    ends = bits["error_y"]
    for index, each in enumerate(found):
        assert bits["y"][index] + ends["array"][index] == pytest.approx(max(each.high, each.bits))
        assert bits["y"][index] - ends["arrayminus"][index] == pytest.approx(
            min(each.low, each.bits)
        )
    assert found[1].bits > found[1].null_high


def test_of_two_passes_each_has_its_own_null_and_balance() -> None:
    found = [label_information(PLANTED, layer, "language") for layer in range(3)]
    figure = information_figure(found, LIGHT, other=found[1:])
    dotted = [trace for trace in figure["data"] if trace["line"].get("dash") == "dot"]
    assert [trace["y"] for trace in dotted] == [
        [each.null_bits for each in of] for of in (found, found[1:])
    ]
    assert [trace["line"]["color"] for trace in dotted] == [LIGHT.load, LIGHT.second]

    def balances(a: Counts, b: Counts) -> list[tuple[float, str]]:
        shapes = two_loads_figure(load(a, 0), load(b, 0))["layout"]["shapes"]
        return [(line["y0"], line["line"]["color"]) for line in shapes]

    assert balances(PLANTED, PLANTED) == [(1 / 4, LIGHT.muted)]
    assert balances(PLANTED, many_values(3)) == [(1 / 4, LIGHT.load), (1 / 2, LIGHT.second)]


def test_a_tokens_shares_are_its_rows() -> None:
    routing = token_routing(PLANTED, 12)
    heat = token_figure(routing)["data"][0]
    for row, shares in zip(heat["z"], routing.shares, strict=True):
        assert row == pytest.approx(shares.tolist(), abs=1e-4)
    assert heat["z"][0][1] == 1, "layer 0 sends words to expert 1"


def test_the_alike_stand_together() -> None:
    blocks = np.ones((6, 6)) - np.eye(6)
    for group in ((0, 2, 4), (1, 3, 5)):
        for a in group:
            for b in group:
                if a != b:
                    blocks[a, b] = 0.1
    order = seriated(blocks).tolist()
    assert sorted(order) == list(range(6))
    assert {frozenset(order[:3]), frozenset(order[3:])} == {
        frozenset((0, 2, 4)),
        frozenset((1, 3, 5)),
    }
    blocks[5] = blocks[:, 5] = np.nan
    assert seriated(blocks)[-1] == 5
    assert seriated(np.full((3, 3), np.nan)).tolist() == [0, 1, 2]


def test_similarity_is_shown_in_its_order() -> None:
    distances = ATLAS.similarity(0)
    heat = similarity_figure(distances)["data"][0]
    order = seriated(distances)
    assert np.array(heat["z"], dtype=float) == pytest.approx(
        distances[np.ix_(order, order)], abs=1e-3, nan_ok=True
    )


def test_a_whisker_tells_clear_from_unclear() -> None:
    above, below, unclear = (
        unquote(whisker(*ends)) for ends in ((2, 1.5, 3), (0.5, 0.3, 0.8), (1.2, 0.9, 1.6))
    )
    assert LIGHT.load in above
    assert LIGHT.second in below
    assert LIGHT.load not in unclear
    assert LIGHT.second not in unclear
    assert "circle" not in unquote(whisker(math.nan, math.nan, math.nan))
    assert unquote(whisker(0, math.nan, math.nan)).count("<path") == 1


def test_numbers_are_written_short() -> None:
    assert [share(x) for x in (0, 0.00001, 0.0004, 0.125, 1, math.nan)] == [
        "0%",
        "<0.01%",
        "0.04%",
        "12.5%",
        "100%",
        "–",
    ]
    assert interval(0.1, 0.2, 100) == "(10–20)"
    assert interval(math.nan, 0.2) == ""
    assert ratio_text(2.5, 2.0, 3.0) == "2.50 (2–3)"
    assert ratio_text(2.5, math.nan, math.nan) == "2.50 (no interval)"


def test_colours_are_those_of_the_numbers_or_of_the_most_loaded() -> None:
    assert counted_colors(LIGHT, PLANTED) == list(LIGHT.experts[:4])
    wide = counted([("a", [1] * 40, [[[i % 20] for i in range(40)]])], 24)
    colors = counted_colors(LIGHT, wide)
    assert len(colors) == 24
    assert sum(color != LIGHT.other_expert for color in colors) == len(LIGHT.experts)
    assert colors[20:] == [LIGHT.other_expert] * 4
