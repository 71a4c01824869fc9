"""Figures of what is not plain: dropped and generated tokens, other scores, many experts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app.figures.definitions import GROUPS, MEASURES, stack_values, why_undefined
from app.figures.depth import depth_figure
from app.figures.drops import drops_figure
from app.figures.flow import flow_figure, flow_min_width
from app.figures.flow_layout import flow_layout
from app.figures.grid import cell_width, grid_figure
from app.figures.labels import layer_place, layer_ticks, number, probability, score_word
from app.figures.load import load_figure
from app.figures.loads import loads_figure
from app.figures.measures import measures_figure
from app.figures.selection import Selection
from app.figures.sparkline import sparkline
from app.figures.theme import DARK, LIGHT
from app.figures.transition import transition_figure
from app.routing.capture import capture
from app.routing.models import LoadedModel
from app.routing.task import Generation, Task
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, TokenSequence
from tests.unit.test_figures import SMALL, random_trace

ROOT = Path(__file__).parents[2]


def routed(
    tokens: int,
    layers: int = 4,
    experts: int = 8,
    k: int = 1,
    score: str = "softmax",
    drops: float = 0.0,
    generated: int = 0,
    paired: bool = False,
) -> RoutingTrace:
    """Random routing of a decoder; `paired`: an attention and an mlp router in each block."""
    rng = np.random.default_rng(3)
    made = []
    for index in range(layers):
        logits = rng.normal(0, 2, (tokens, experts)).astype(np.float32)
        scores = 1 / (1 + np.exp(-logits))
        if score == "softmax":
            scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if score == "sqrt-softplus":
            scores = np.sqrt(np.log1p(np.exp(logits)))
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        lost = rng.random(tokens) < drops
        weights = np.take_along_axis(scores, chosen, axis=1)
        weights[lost] = 0
        part = ("self_attention.experts", "mlp")[index % 2]
        block = index // 2 if paired else index
        made.append(
            RouterLayer(
                f"model.layers.{block}.{part if paired else 'mlp'}.router",
                "decoder",
                block,
                logits,
                scores,
                chosen,
                weights,
                lost,
                score,
                capacity=4 if drops else None,
            )
        )
    pieces = tuple(f"t{number}" for number in range(tokens))
    sequence = TokenSequence(
        pieces,
        np.arange(tokens),
        np.zeros(tokens, bool),
        np.arange(tokens) >= tokens - generated,
    )
    return RoutingTrace("text", ModelIdentity("m", "0", "X"), {"decoder": sequence}, tuple(made))


def drawn(trace: RoutingTrace, theme: Any = LIGHT) -> dict[str, dict[str, Any]]:
    last = len(trace.layers) - 1
    figures = {
        "flow": flow_figure(trace, theme),
        "pinned flow": flow_figure(trace, theme, Selection(token=0)),
        "grid": grid_figure(trace, theme),
        "load": load_figure(trace, theme),
        "measures": measures_figure(trace, theme),
        "transition": transition_figure(trace, 0, last, theme),
        "depth": depth_figure(trace, theme),
        "loads": loads_figure(trace, 0, last, theme),
    }
    drops = drops_figure(trace, theme)
    return figures | ({"drops": drops} if drops else {})


def hovers(figure: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for part in figure["data"]:
        texts = part.get("hovertext", [])
        found += [t for row in texts for t in (row if isinstance(row, list) else [row])]
    return found


@pytest.fixture(scope="module")
def crowded(scarce: LoadedModel) -> RoutingTrace:
    return capture(scarce, "The early bird catches the worm before the others come.", 128)


@pytest.mark.parametrize(
    "trace",
    [
        routed(12, drops=0.5, generated=4),
        routed(40, layers=12, drops=0.9),
        routed(12, experts=64, k=8, score="sigmoid", generated=3),
        routed(30, layers=3, experts=256, k=8, score="sqrt-softplus"),
        routed(9, layers=6, k=2, paired=True),
        routed(9, layers=1),
        routed(1),
        routed(1, layers=1, experts=1, drops=1.0, generated=1),
        routed(130, layers=2, drops=0.3, generated=60),
        random_trace(5),
    ],
    ids="drops many sigmoid 256experts paired onelayer onetoken one long encoder".split(),
)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_plotly_accepts_every_figure_of_every_kind(trace: RoutingTrace, theme: Any) -> None:
    for name, figure in drawn(trace, theme).items():
        go.Figure(figure)
        text = json.dumps(figure)
        assert "NaN" not in text, name
        assert "Infinity" not in text, name


def test_dropped_tokens_keep_the_expert_that_had_no_room(crowded: RoutingTrace) -> None:
    lost = crowded.layers[0].dropped
    assert lost.any()
    cells = grid_figure(crowded)["data"][2]["text"][: len(lost)]
    chosen = crowded.layers[0].experts[:, 0]
    for text, expert, dropped in zip(cells, chosen, lost, strict=True):
        assert text == f"{expert}×" if dropped else text == str(expert)
    assert (chosen[lost] != 0).any()


def test_dropped_tokens_are_hatched_not_only_coloured(crowded: RoutingTrace) -> None:
    drops = sum(int(layer.dropped.sum()) for layer in crowded.layers)
    hatch = grid_figure(crowded)["data"][1]
    strokes = [x for x in hatch["x"] if x is None]
    assert len(strokes) == 4 * drops
    inside = [round(x) for x in hatch["x"] if x is not None]
    assert set(inside) == set(np.flatnonzero(np.any([la.dropped for la in crowded.layers], axis=0)))
    flow = flow_figure(crowded)
    assert any("fillcolor" not in shape for shape in flow["layout"]["shapes"])
    [crosses] = [part for part in flow["data"] if set(part.get("text", [])) == {"×  "}]
    places = {
        (index, int(expert))
        for index, layer in enumerate(crowded.layers)
        for expert in layer.experts[layer.dropped].ravel()
    }
    assert len(crosses["x"]) == len(places)


def test_the_flow_counts_drops_under_the_headings(crowded: RoutingTrace) -> None:
    headings = [a["text"] for a in flow_figure(crowded)["layout"]["annotations"]][1:]
    for layer, heading in zip(crowded.layers, headings, strict=True):
        assert f"× {int(layer.dropped.sum())} dropped" in heading


def test_dropped_strands_end_at_the_foot_of_the_bar_of_their_expert() -> None:
    trace = routed(20, drops=0.4)
    layout = flow_layout(trace.layers)
    bars = {(node.layer, node.expert): node for node in layout.nodes}
    for strand in layout.strands:
        node = bars[strand.layer, strand.expert]
        assert strand.dropped == trace.layers[strand.layer].dropped[strand.tokens[0]]
        if strand.dropped:
            assert strand.right[0] >= node.lost - 1e-6
        else:
            assert strand.right[1] <= node.lost + 1e-6
    for ribbon in layout.ribbons:
        assert set(trace.layers[ribbon.layer].dropped[list(ribbon.tokens)]) == {ribbon.dropped}


def test_drops_by_position_and_layer() -> None:
    trace = routed(10, layers=4, drops=0.5)
    figure = drops_figure(trace)
    assert figure is not None
    lost = np.array([layer.dropped for layer in trace.layers])
    assert figure["data"][0]["y"] == pytest.approx(lost.mean(axis=0))
    assert figure["data"][1]["y"] == pytest.approx(lost.mean(axis=1))
    assert all(bar["marker"]["pattern"]["shape"] for bar in figure["data"])
    assert f"{lost.mean():.1%} overall" in figure["layout"]["annotations"][1]["text"]
    assert drops_figure(routed(10)) is None


def test_generated_tokens_stand_behind_a_rule(loaded: LoadedModel) -> None:
    trace = capture(loaded, Task("The early bird", generation=Generation(6)), 128)
    generated = trace.sequences["decoder"].generated
    first = int(np.argmax(generated))
    assert generated.any()
    assert first > 0
    grid = grid_figure(trace, stack="decoder")["layout"]
    labels = grid["xaxis"]["ticktext"]
    assert [label.startswith("<i>+") for label in labels] == generated.tolist()
    assert grid["shapes"][-1]["x0"] == first - 0.5
    assert grid["annotations"][0]["text"] == "<i>+ generated</i>"
    flow = flow_figure(trace, stack="decoder")
    assert any("«" in t and ", generated<br>experts" in t for t in hovers(flow))
    assert [s["type"] for s in flow["layout"]["shapes"]].count("line") == 1
    encoder = flow_figure(trace, stack="encoder")
    assert "line" not in [s["type"] for s in encoder["layout"]["shapes"]]
    assert not any("generated" in text for text in hovers(encoder))


@pytest.mark.parametrize("figure", [flow_figure, grid_figure])
def test_scores_are_not_called_probabilities(figure: Callable[..., dict[str, Any]]) -> None:
    texts = hovers(figure(routed(6, score="sigmoid")))
    assert any(" score " in text or ">score " in text for text in texts)
    assert not any(" p ." in text for text in texts)
    assert any(" p " in t or ">p " in t for t in hovers(figure(routed(6))))


def test_what_scores_are_called() -> None:
    words = {
        score: score_word(routed(2, score=score).layers[0])
        for score in ("softmax", "sigmoid", "sqrt-softplus")
    }
    assert words == {"softmax": "p", "sigmoid": "score", "sqrt-softplus": "score"}


def test_strength_of_scores_is_compared_with_chance_after_scaling() -> None:
    # Every sigmoid score is far above 1/64, but only its share of their sum says anything.
    codes = np.array(grid_figure(routed(30, experts=64, score="sigmoid"))["data"][0]["z"])
    assert (codes % 1).max() < 0.2


def test_routers_of_one_block_are_told_apart() -> None:
    layers = routed(4, layers=4, paired=True).layers
    assert [layer_place(layer, layers) for layer in layers] == [
        "decoder block 0, attention",
        "decoder block 0, mlp",
        "decoder block 1, attention",
        "decoder block 1, mlp",
    ]
    assert layer_ticks(layers) == ["1 attention", "2 mlp", "3 attention", "4 mlp"]
    assert layer_place(SMALL.layers[0], SMALL.layers) == "encoder block 1"
    headings = flow_figure(routed(4, layers=4, paired=True))["layout"]["annotations"]
    assert "block 0 attention" in headings[1]["text"]
    assert "block 0 mlp" in headings[2]["text"]
    assert flow_min_width(layers) >= flow_min_width(routed(4).layers)


def test_many_experts_leave_room_for_every_bar() -> None:
    for experts in (8, 16, 64, 256):
        layout = flow_layout(routed(1, experts=experts).layers)
        assert all(node.bottom >= node.top for node in layout.nodes)
        assert max(node.bottom for node in layout.nodes) <= layout.height


def test_of_too_many_strands_the_first_choices_are_drawn_and_it_says_so() -> None:
    trace = routed(70, layers=24, experts=64, k=8)
    layout = flow_layout(trace.layers)
    assert layout.ranks == 1
    assert len(layout.strands) == 70 * 24
    assert "first of 8 choices" in flow_figure(trace)["layout"]["annotations"][0]["text"]
    assert flow_layout(routed(12, experts=64, k=8).layers).ranks is None


def test_cells_fit_what_they_print() -> None:
    assert cell_width(routed(3).layers) == 30
    many = routed(3, experts=256, k=8)
    assert cell_width(many.layers) > 30
    texts = grid_figure(many)["data"][2]["text"]
    assert texts[0] == f"{many.layers[0].experts[0, 0]}…"


def test_a_selection_belongs_to_its_stack() -> None:
    layers = routed(4).layers
    there = Selection.from_json({"token": 1, "stack": "decoder"}, layers)
    assert there is not None
    assert there.to_json() == {"token": 1, "stack": "decoder"}
    assert Selection.from_json({"token": 1, "stack": "encoder"}, layers) is None
    assert Selection.from_json({"token": 1}, layers) == Selection(token=1)


def test_every_measure_is_described_and_calculated() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    sections = {heading.lower().replace(" ", "-") for heading in headings}
    values = stack_values(SMALL.layers)
    for measure in MEASURES:
        assert measure.anchor in sections, measure.key
        assert len(values[measure.key]) == 2
        assert measure.group in GROUPS
        assert measure.formula
        assert measure.definition.endswith(".")
    assert len({measure.key for measure in MEASURES}) == len(MEASURES) == 17


def test_chance_levels_are_what_random_routing_gives() -> None:
    rng = np.random.default_rng(0)
    layer = routed(30, layers=1, experts=8, k=2).layers[0]
    picks = np.array([[rng.permutation(8)[:2] for _ in range(30)] for _ in range(600)])
    counts = np.array([np.bincount(each.ravel(), minlength=8) for each in picks])
    by_key = {measure.key: measure for measure in MEASURES}
    cv = np.sqrt((counts.std(axis=1) ** 2).mean()) / counts.mean()
    assert by_key["load_cv"].levels([layer], {})[0] == pytest.approx(cv, rel=0.05)
    active = (counts > 0).sum(axis=1).mean()
    assert by_key["active_experts"].levels([layer], {})[0] == pytest.approx(active, rel=0.01)


def test_undefined_values_are_dashes_with_a_reason() -> None:
    trace = routed(1, layers=2)
    figure = measures_figure(trace)
    titles = [a["text"] for a in figure["layout"]["annotations"]]
    assert "repetition<br><b>–</b>" in titles
    texts = hovers(figure)
    assert any(t.endswith("repetition –<br>one token has no neighbour") for t in texts)
    assert any(t.endswith("load distance – bits<br>" + _first()) for t in texts)


def _first() -> str:
    by_key = {measure.key: measure for measure in MEASURES}
    return why_undefined(by_key["load_distance"], 0)


def test_transitions_count_tokens_and_leave_rows_without_any_blank() -> None:
    figure = transition_figure(SMALL, 0, 1)
    heat, texts = figure["data"]
    assert heat["z"][0] == [0.0, 0.5, 0.0, 0.5]
    assert heat["z"][1] == [None] * 4
    assert texts["text"][:4] == ["\u00a0", "1", "\u00a0", "1"]
    assert heat["hovertext"][1][0].endswith("no token chose expert 1")
    note = figure["layout"]["annotations"][0]["text"]
    assert note == "Blank: no token chose experts 1, 3 in layer 1."


def test_depth_shows_the_null_beside_the_information() -> None:
    band, mean, bits, distance = depth_figure(routed(40, layers=5))["data"]
    assert len(bits["y"]) == 4
    assert all(high >= low for high, low in zip(band["y"], mean["y"], strict=True))
    assert all("shuffled" in text for text in bits["hovertext"])
    assert all(0 <= value <= 1 for value in distance["y"])
    only = depth_figure(routed(40, layers=1))["layout"]["annotations"]
    assert "one router layer" in only[-1]["text"]


def test_loads_emphasise_two_layers() -> None:
    figure = loads_figure(routed(20, layers=14), 1, 13)
    bold = [a["text"] for a in figure["layout"]["annotations"] if a["text"].startswith("<b>")]
    assert bold == ["<b>Layer 2</b>", "<b>Layer 14</b>"]
    fills = {shape.get("fillcolor") for shape in figure["layout"]["shapes"]}
    assert {LIGHT.load, LIGHT.second} <= fills
    assert len(figure["data"][0]["x"]) == 14 * 8
    assert figure["data"][0]["customdata"][-1] == {"layer": 13, "expert": 7}


def test_sparklines_are_small_images() -> None:
    image = sparkline([0.1, float("nan"), 0.4, 0.2], [0.3] * 4, LIGHT, 2, 1.0)
    assert image.startswith("data:image/svg+xml,")
    assert "#" not in image
    assert len(image) < 1500
    assert "nan" not in image
    assert sparkline([0.5], [0.2]).count("circle") == 1
    assert "nan" not in sparkline([float("nan")], [float("nan")], selected=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, ".00"), (0.83, ".83"), (1.0, "1.0"), (0.004, ".004"), (1e-5, "<.001"), (1.7, "1.70")],
)
def test_probabilities_are_short(value: float, text: str) -> None:
    assert probability(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "–"),
        (0.0, "0"),
        (3.0, "3"),
        (0.123, "0.12"),
        (0.0123, "0.012"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_have_two_or_three_digits(value: float, text: str) -> None:
    assert number(value) == text
