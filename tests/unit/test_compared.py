"""Figures, words and tables of two runs compared, from traces made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from dash import html
from dash.development.base_component import Component

from app.components.compared import (
    alignment_text,
    changes_summary,
    changes_table,
    difference_summary,
    differing,
    layers_table,
    marked,
    means_table,
    run_card,
    settings_table,
)
from app.components.recomputed import told
from app.figures.changes import MOST_COLUMNS, Column, changes_figure, columns
from app.figures.definitions import MEASURES
from app.figures.difference import difference_figure, points
from app.figures.relative import relative_figure
from app.figures.theme import DARK, LIGHT, expert_colors
from app.recording.base import RecordedRun, RunSummary
from app.routing.comparison import compare
from app.routing.reproduction import Reproduction
from app.routing.trace import ModelIdentity, RoutingTrace
from tests.unit.routings import trace

A = trace(["▁a", "▁b", "▁old", "</s>"], [[[0], [1], [2], [3]], [[0], [0], [1], [1]]])
B = trace(["▁a", "▁b", "▁new", "▁er", "</s>"], [[[0], [2], [1], [3], [3]], [[0]] * 5])
OTHER = trace(["▁a", "▁b", "</s>"], [[[5], [6], [7]]], 8, model=ModelIdentity("n", "r9", "Other"))


def random_pair(k: int, experts: int, tokens: int = 30) -> tuple[RoutingTrace, RoutingTrace]:
    rng = np.random.default_rng(k * experts)
    made = []
    for _ in "ab":
        words = [f"▁{rng.choice(list('abcd'))}" for _ in range(tokens)]
        chosen = [[rng.permutation(experts)[:k].tolist() for _ in words] for _ in range(3)]
        made.append(trace(words, chosen, experts, dropped=(3, 4)))
    return made[0], made[1]


def texts(component: Any) -> str:
    """All words of a component."""
    if isinstance(component, Sequence) and not isinstance(component, str):
        return " ".join(map(texts, component))
    if isinstance(component, Component):
        return texts(getattr(component, "children", "") or "")
    return str(component)


def rows(component: Any) -> list[list[str]]:
    """The cells of a table's body."""
    (table,) = [each for each in component._traverse() if isinstance(each, html.Table)]
    (body,) = [each for each in table._traverse() if isinstance(each, html.Tbody)]
    return [[str(cell.children) for cell in row.children] for row in body.children]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(
    "pair",
    [
        (A, B),
        (A, A),
        (trace(["▁a"]), trace(["▁b"])),
        random_pair(1, 8),
        random_pair(2, 16),
        random_pair(4, 64),
        random_pair(1, 1),
    ],
    ids="two same nothing top1 top2 64experts oneexpert".split(),
)
def test_plotly_accepts_every_figure(theme, pair) -> None:  # type: ignore[no-untyped-def]
    comparison = compare(*pair)
    (part,) = comparison.stacks
    for made in (
        changes_figure(comparison, part, theme),
        difference_figure(part, theme),
        relative_figure(part, theme),
    ):
        go.Figure(made)
        assert "NaN" not in json.dumps(made)


def test_columns_hold_every_token_once_in_reading_order() -> None:
    (part,) = compare(A, B).stacks
    assert columns(part) == [
        Column(0, 0),
        Column(1, 1),
        Column(2, None),
        Column(None, 2),
        Column(None, 3),
        Column(3, 4),
    ]
    (part,) = compare(trace(["x"]), trace(["y"])).stacks
    assert columns(part) == [Column(0, None), Column(None, 0)]


def test_changes_say_what_went_and_what_came_in_the_colour_of_what_came() -> None:
    comparison = compare(A, B)
    (part,) = comparison.stacks
    figure = changes_figure(comparison, part)
    assert figure is not None
    heat, hatching, words = figure["data"]
    assert words["text"] == ["0", "1→2", "2", "1", "3", "3", "0", "0", "1", "0", "0", "1→0"]
    palette = dict(heat["colorscale"])
    fills = [palette[code / heat["zmax"]] for row in heat["z"] for code in row]
    colors = expert_colors(LIGHT, A.layers)
    assert fills[1] == colors[2]
    assert fills[11] == colors[0]
    assert {fill for i, fill in enumerate(fills) if i not in (1, 11)} == {LIGHT.ground}
    assert figure["layout"]["xaxis"]["ticktext"] == [
        "▁a",
        "▁b",
        "<b>a:</b> ▁old",
        "<b>b:</b> ▁new",
        "<b>b:</b> ▁er",
        "&lt;/s&gt;",
    ]
    # Three strokes in each cell of the three columns that only one of them has.
    assert len(hatching["x"]) == 3 * 3 * 3 * 2
    assert {round(x) for x in hatching["x"] if x is not None} == {2, 3, 4}
    hover = [text for row in heat["hovertext"] for text in row]
    assert "changed, layer 1 (encoder block 1)<br>a: token 1 «▁b» → expert 1<br>b: " in hover[1]
    assert hover[2].startswith("only in a")
    assert hover[3].startswith("only in b")


def test_of_several_experts_only_those_that_changed_are_named() -> None:
    a = trace(["▁a", "▁b", "▁c"], [[[0, 1], [0, 1], [0, 1]]])
    b = trace(["▁a", "▁b", "▁c"], [[[1, 0], [2, 0], [2, 3]]])
    comparison = compare(a, b)
    figure = changes_figure(comparison, comparison.stacks[0])
    assert figure is not None
    assert figure["data"][2]["text"] == ["1 0", "1→2", "0 1→2 3"]


def test_a_drop_in_one_of_them_is_marked() -> None:
    a = trace(["▁a", "▁b"], [[[0], [1]]])
    comparison = compare(a, trace(["▁a", "▁b"], [[[0], [1]]], dropped=(1,)))
    figure = changes_figure(comparison, comparison.stacks[0])
    assert figure is not None
    assert figure["data"][2]["text"] == ["0", "1→1×"]
    assert figure["data"][0]["hovertext"][0][1].startswith("dropped in one of them")


def test_beyond_the_most_columns_the_rest_is_counted() -> None:
    long = trace([f"▁{i}" for i in range(MOST_COLUMNS + 5)])
    comparison = compare(long, long)
    figure = changes_figure(comparison, comparison.stacks[0])
    assert figure is not None
    assert len(figure["data"][0]["z"][0]) == MOST_COLUMNS
    assert "The first 600 of 605 columns" in figure["layout"]["annotations"][0]["text"]


def test_difference_is_around_zero_with_a_fixed_scale() -> None:
    (part,) = compare(A, B).stacks
    figure = difference_figure(part)
    assert figure is not None
    heat, words = figure["data"]
    # Loads of layer 1: a quarter each, and 1, 1, 1, 2 of 5.
    assert heat["z"][0] == [-0.05, -0.05, -0.05, 0.15]
    assert heat["z"][1] == [0.5, -0.5, 0, 0]
    assert (heat["zmin"], heat["zmax"]) == (-0.5, 0.5)
    assert heat["colorscale"][1] == [0.5, LIGHT.ground]
    assert words["text"][:4] == ["−5", "−5", "−5", "+15"]
    assert "a: 25.0%, 1 of 4 assignments<br>b: 40.0%, 2 of 5" in heat["hovertext"][0][3]
    assert "b − a: +15 points" in heat["hovertext"][0][3]
    (swapped,) = compare(B, A).stacks
    other = difference_figure(swapped)
    assert other is not None
    assert np.array_equal(np.array(other["data"][0]["z"]), -np.array(heat["z"]))


def test_many_experts_print_no_numbers() -> None:
    (part,) = compare(*random_pair(1, 64)).stacks
    figure = difference_figure(part)
    assert figure is not None
    assert len(figure["data"]) == 1


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0, ""), (0.15, "+15"), (-0.05, "−5"), (0.004, "+0.4"), (-0.0001, "±0"), (1, "+100")],
)
def test_percentage_points(difference: float, text: str) -> None:
    assert points(difference) == text


def test_models_of_another_make_are_drawn_over_relative_depth_only() -> None:
    comparison = compare(A, OTHER)
    (part,) = comparison.stacks
    assert changes_figure(comparison, part) is None
    assert difference_figure(part) is None
    assert changes_summary(comparison, part) == difference_summary(part) == ""
    data = relative_figure(part)["data"]
    assert [trace["x"] for trace in data[:2]] == [[0.25, 0.75], [0.5]]
    assert [trace["text"][-1].strip() for trace in data[:2]] == ["a", "b"]
    assert data[0]["line"].get("dash") != data[1]["line"].get("dash")
    listed = rows(changes_table(part))
    assert [row[:2] for row in listed] == [["Layer 1", "Layer 1"], ["Layer 2", "Layer 1"]]
    assert [row[-1] for row in listed] == ["3", "3"]


def test_summaries_say_what_the_figures_show() -> None:
    comparison = compare(A, B)
    (part,) = comparison.stacks
    said = changes_summary(comparison, part)
    assert "3 of 4 tokens of a and 3 of 5 of b have a partner; 1 are only in a, 2 only in b" in said
    assert "Layer 1: 1 of 3 aligned pairs changed expert: ▁b 1 to 2." in said
    assert "Layer 2: 1 of 3 aligned pairs changed expert: </s> 1 to 0." in said
    assert "Only in a: ▁old." in said
    assert "Only in b: ▁new ▁er." in said
    assert "Layer 1: expert 3 +15, expert 0 −5" in difference_summary(part)
    (same,) = compare(A, A).stacks
    assert "Layer 1: no difference." in difference_summary(same)
    assert "token by token" in alignment_text(same)


def test_tables_hold_changes_and_measures_with_n() -> None:
    (part,) = compare(A, B).stacks
    changes = rows(changes_table(part))
    assert changes[0][:3] == ["Layer 1 (encoder block 1)", "1 of 3", "33%"]
    assert "n = 3 aligned pairs" in texts(changes_table(part))
    means = rows(means_table(part))
    assert [row[0] for row in means] == [measure.title for measure in MEASURES]
    assert all(row[-2:] == ["4", "5"] for row in means)
    cv = means[0]
    # Balance and two of four experts in a; 1, 1, 1, 2 of 5 and all on one in b.
    assert cv[1:4] == ["0.50", "1.04", "+0.54"]
    assert len(rows(layers_table(part))) == 2 * len(MEASURES)


def test_another_shape_has_information_beside_the_changes() -> None:
    (part,) = compare(A, replace(B, model=ModelIdentity("m", "r2", "Switch"))).stacks
    (row, _) = rows(changes_table(part))
    assert len(row) == 10
    assert row[-1] == "3"


def test_texts_are_marked_where_they_differ() -> None:
    a, b = "The bank was closed.", "The bank is open."
    gone, new = marked(a, b, "a"), marked(b, a, "b")
    assert "".join(map(texts, gone)) == a
    assert "".join(map(texts, new)) == b
    assert [each.children for each in gone if isinstance(each, html.Del)] == ["was", "closed"]
    assert [each.children for each in new if isinstance(each, html.Ins)] == ["is", "open"]
    assert marked(a, a, "a") == [a]
    # Too long to compare in a moment: shown as it is.
    assert len(marked("a b " * 5000, "b c " * 5000, "a")) == 1


def test_settings_that_differ_are_listed_and_no_others() -> None:
    provenance = {"dtype": "float32", "libraries": {"torch": "2"}, "generate": {"seed": 1}}
    a = replace(A, provenance=provenance)
    b = replace(A, provenance={**provenance, "generate": {"seed": 2}, "capacity": 3})
    assert list(differing(a, b)) == [("seed", "1", "2"), ("capacity", "–", "3")]
    assert rows(settings_table(a, b)) == [["seed", "1", "2"], ["capacity", "–", "3"]]
    assert "the same in both" in texts(settings_table(a, a))


def test_a_card_names_the_run_and_links_to_it() -> None:
    def run(name: str) -> RecordedRun:
        when = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
        summary = RunSummary("abc", when, "m", A.text, 4, "pending", name=name)
        return RecordedRun(summary, replace(A, output="and so on"))

    card = run_card("a", run("My run"), run(""))
    said = texts(card)
    assert "My run" in said
    assert "2026-11-22 03:10 UTC" in said
    assert "pending" in said
    assert "and so on" in said
    (link,) = [each for each in card._traverse() if getattr(each, "href", None)]
    assert link.href == "/runs/abc"


def test_a_reproduction_in_words() -> None:
    same = Reproduction(True, (), (), 0.0, 0, 51, (("encoder", 17, 3),))
    assert texts(told(same)) == "Identical to the bit: 17 tokens × 3 layers."
    both = replace(same, sizes=(("encoder", 17, 3), ("decoder", 1, 3)), environment=("x 1 → 2",))
    assert texts(told(both)) == (
        "Identical to the bit: 17 tokens × 3 layers of the encoder, 1 token × 3 layers of the "
        "decoder. Since then: x 1 → 2."
    )
    other = Reproduction(
        False, tuple(f"difference {i}" for i in range(9)), ("x 1 → 2",), 3e-6, 2, 51, same.sizes
    )
    said = texts(told(other))
    assert said.startswith("Not the same. Logits differ by at most 3e-06; 2 of 51 choices")
    assert "difference 5" in said
    assert "difference 6" not in said
    assert said.endswith("3 more")
