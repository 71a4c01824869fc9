"""Figures from traces made by hand, where every number is known."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from app.components.summaries import measures_summary, summaries
from app.figures.definitions import stack_values
from app.figures.flow import flow_figure
from app.figures.flow_layout import MOST_ROWS, flow_layout
from app.figures.grid import grid_figure
from app.figures.labels import plain_label, token_label
from app.figures.load import load_figure
from app.figures.measures import measures_figure
from app.figures.selection import Selection
from app.figures.theme import DARK, LIGHT, expert_colors, ink, mix
from app.routing.trace import ModelIdentity, RouterLayer, RoutingTrace, TokenSequence

FIGURES = (flow_figure, load_figure, grid_figure, measures_figure)


def make_trace(
    chosen: list[list[list[int]]], experts: int = 4, dropped: tuple[int, ...] = ()
) -> RoutingTrace:
    """`chosen` is [layer][token][k]; the tokens in `dropped` are dropped in the first layer."""
    layers = []
    for index, rows in enumerate(chosen):
        picks = np.array(rows)
        logits = np.zeros((len(picks), experts), np.float32)
        for rank in range(picks.shape[1]):
            np.put_along_axis(logits, picks[:, rank : rank + 1], 3.0 - rank / 3, axis=1)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        lost = np.zeros(len(picks), bool)
        if index == 0:
            lost[list(dropped)] = True
        weights = np.take_along_axis(probabilities, picks, axis=1)
        weights[lost] = 0
        layers.append(
            RouterLayer(
                f"encoder.block.{2 * index + 1}.layer.1.mlp.router",
                "encoder",
                2 * index + 1,
                logits,
                probabilities,
                picks,
                weights,
                lost,
                capacity=64,
            )
        )
    count = len(chosen[0])
    tokens = (*(f"t{number}" for number in range(count - 1)), "</s>")
    special = np.arange(count) == count - 1
    return RoutingTrace(
        "text",
        ModelIdentity("test", "0", "Switch"),
        {"encoder": TokenSequence(tokens, np.arange(count), special)},
        tuple(layers),
    )


def random_trace(tokens: int, layers: int = 4, experts: int = 8, k: int = 1) -> RoutingTrace:
    rng = np.random.default_rng(5)
    return make_trace(
        [[rng.permutation(experts)[:k].tolist() for _ in range(tokens)] for _ in range(layers)],
        experts,
    )


SMALL = make_trace([[[0], [0], [2]], [[1], [3], [3]]])


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(
    "trace",
    [
        SMALL,
        random_trace(1),
        random_trace(12),
        random_trace(40),
        random_trace(130),
        random_trace(20, k=2),
        random_trace(20, experts=64, k=4),
        random_trace(9, layers=1),
        random_trace(9, experts=1),
    ],
    ids="small one 12 40 130 top2 64experts onelayer oneexpert".split(),
)
def test_plotly_accepts_every_figure(figure, theme, trace) -> None:  # type: ignore[no-untyped-def]
    made = figure(trace, theme)
    go.Figure(made)
    assert "NaN" not in json.dumps(made)


def test_a_token_has_the_same_height_everywhere() -> None:
    trace = random_trace(30, k=2)
    layout = flow_layout(trace.layers)
    for layer in range(4):
        into = [strand for strand in layout.strands if strand.layer == layer]
        heights = np.zeros(30)
        for strand in into:
            heights[strand.tokens[0]] += strand.right[1] - strand.right[0]
        assert np.allclose(heights, heights[0])


def test_ribbons_hold_each_token_once_and_meet_their_nodes() -> None:
    layout = flow_layout(SMALL.layers)
    ends = {(r.layer, r.source, r.expert): list(r.tokens) for r in layout.ribbons}
    assert ends == {
        (0, 0, 0): [0],
        (0, 1, 0): [1],
        (0, 2, 2): [2],
        (1, 0, 1): [0],
        (1, 0, 3): [1],
        (1, 2, 3): [2],
    }
    for node in layout.nodes:
        entering = [
            r.right for r in layout.ribbons if (r.layer, r.expert) == (node.layer, node.expert)
        ]
        if entering:
            assert min(top for top, _ in entering) == pytest.approx(node.top)
            assert max(bottom for _, bottom in entering) == pytest.approx(node.bottom)


def test_nodes_keep_the_order_of_experts_and_do_not_overlap() -> None:
    layout = flow_layout(random_trace(50).layers)
    for layer in range(4):
        nodes = [node for node in layout.nodes if node.layer == layer]
        assert [node.expert for node in nodes] == list(range(8))
        assert all(a.bottom < b.top for a, b in pairwise(nodes))
        assert nodes[-1].bottom <= layout.height


def test_the_flow_keeps_its_size_while_somebody_types() -> None:
    heights = [flow_layout(random_trace(tokens).layers).height for tokens in (1, 5, 12, 20)]
    assert len(set(heights)) == 1


def test_a_long_text_shares_rows_and_says_so() -> None:
    trace = random_trace(MOST_ROWS * 2 + 10)
    layout = flow_layout(trace.layers)
    assert len(layout.rows) <= MOST_ROWS
    assert sum(last - first + 1 for first, last in layout.rows) == MOST_ROWS * 2 + 10
    figure = flow_figure(trace)
    assert "3 tokens a row" in [a["text"] for a in figure["layout"]["annotations"]]


def test_flow_hover_tells_token_layer_expert_probability_and_count() -> None:
    texts = [t for trace in flow_figure(SMALL)["data"] for t in trace.get("hovertext", [])]
    p = SMALL.layers[0].probabilities[0, 0]
    assert f"token 0 «t0» → layer 1, expert 0<br>p {p:.2f}".replace(" 0.", " .") in texts
    assert any(text.startswith("Layer 2 (encoder block 3), expert 3<br>2 of 3") for text in texts)
    assert "token 0 «t0»<br>experts 0 → 1" in texts


def test_a_selection_keeps_its_strands_and_fades_the_rest() -> None:
    figure = flow_figure(SMALL, LIGHT, Selection(token=1))
    fills = [shape["fillcolor"] for shape in figure["layout"]["shapes"]]
    strands = [fill for fill in fills if fill.endswith(",0.85)")]
    # Token 1 goes to expert 0 and then 3: two colours, everything else in the faint one.
    assert len(strands) == 2
    assert len(fills) == 3


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        ({"token": 2}, [2]),
        ({"layer": 0, "expert": 0}, [0, 1]),
        ({"layer": 1, "expert": 3}, [1, 2]),
        ({"layer": 1, "expert": 3, "source": 0}, [1]),
    ],
)
def test_what_a_selection_covers(data: dict[str, int], tokens: list[int]) -> None:
    selection = Selection.from_json(data, SMALL.layers)
    assert selection is not None
    assert selection.to_json() == data
    assert np.flatnonzero(selection.tokens(SMALL.layers)).tolist() == tokens


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"token": 3},
        {"token": -1},
        {"layer": 2, "expert": 0},
        {"layer": 0, "expert": 4},
        {"layer": 0},
        {"token": "1"},
        {"expert": 1},
    ],
)
def test_a_selection_of_nothing_that_exists_is_none(data: dict[str, int] | None) -> None:
    assert Selection.from_json(data, SMALL.layers) is None


def test_load_figure_has_a_fixed_scale_and_exact_shares() -> None:
    [heat, _texts] = load_figure(SMALL)["data"]
    assert heat["z"] == [[0.6667, 0, 0.3333, 0], [0, 0.3333, 0, 0.6667]]
    assert (heat["zmin"], heat["zmax"]) == (0, 1)
    assert load_figure(random_trace(9))["data"][0]["zmax"] == 0.5
    assert "1/N 25.0%" in heat["colorbar"]["ticktext"]


def test_grid_prints_ids_and_marks_dropped_tokens() -> None:
    trace = make_trace([[[1], [1], [1]], [[0], [2], [3]]], dropped=(2,))
    data = grid_figure(trace)["data"]
    assert data[2]["text"] == ["1", "1", "1×", "0", "2", "3"]
    assert "dropped: over capacity 64" in data[0]["hovertext"][0][2]
    flow = [t for part in flow_figure(trace)["data"] for t in part.get("hovertext", [])]
    assert "token 2 «&lt;/s&gt;» → layer 1, expert 1<br>p .87<br>dropped: over capacity 64" in flow
    assert any(text.endswith("<br>1 dropped: over capacity 64") for text in flow)


def test_grid_codes_stay_inside_the_experts_segment() -> None:
    trace = random_trace(30)
    for layer, codes in zip(trace.layers, grid_figure(trace)["data"][0]["z"], strict=True):
        assert np.floor(codes).astype(int).tolist() == layer.experts[:, 0].tolist()


def test_grid_grows_with_cells_of_one_size() -> None:
    widths = [grid_figure(random_trace(n))["layout"]["width"] for n in (10, 11, 12)]
    assert widths[1] - widths[0] == widths[2] - widths[1] > 20


def test_measures_show_chance_levels() -> None:
    figure = measures_figure(SMALL)
    dotted = [trace["y"] for trace in figure["data"] if trace.get("line", {}).get("dash") == "dot"]
    assert dotted[0] == pytest.approx([np.sqrt(3 / 3)] * 2)
    titles = [annotation["text"] for annotation in figure["layout"]["annotations"]]
    assert titles[3] == "active experts<br><b>2</b>"


def test_summaries_name_every_token_and_share() -> None:
    flow, load, grid = summaries(SMALL)
    layers = SMALL.stack_layers(SMALL.stacks[0])
    measures = measures_summary(layers, stack_values(layers))
    assert "3 tokens through 2 router layers of the encoder" in flow
    assert "Layer 1: expert 0 67%, expert 2 33%." in load
    assert "t0: 0 1; t1: 0 3; </s>: 2 3." in grid
    assert "active experts 2" in measures


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ("</s>", "&lt;/s&gt;"),
        ("<b>", "&lt;b&gt;"),
        ("a&b", "a&amp;b"),
        ("\n", "⏎"),
        ("\x00", "␀"),
        ("\u202e", "U+202E"),
        ("▁word", "▁word"),
        ("x" * 40, "x" * 13 + "…"),
    ],
)
def test_labels_are_visible_and_never_markup(token: str, label: str) -> None:
    assert token_label(token) == label


def test_plain_labels_are_not_escaped() -> None:
    assert plain_label("</s>") == "</s>"


def test_more_experts_than_colours_are_grey_by_load() -> None:
    trace = make_trace([[[index % 12] for index in range(40)]], experts=16)
    colors = expert_colors(LIGHT, trace.layers)
    assert len(set(colors[:8])) > 1
    assert colors[12:] == [LIGHT.other_expert] * 4
    assert sum(color != LIGHT.other_expert for color in colors) == 8


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_ids_read_on_every_cell(theme) -> None:  # type: ignore[no-untyped-def]
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for color in theme.experts:
        for share in np.linspace(0.2, 1, 9):
            fill = mix(theme.ground, color, float(share))
            high, low = sorted((luminance(fill), luminance(ink(fill))), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5
