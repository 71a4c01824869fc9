"""Cards, the table of dominant experts, facts of a comparison, details and summaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dash.development.base_component import Component

from app.components.cards import cards
from app.components.comparison import comparison_facts
from app.components.details import details
from app.components.dominant import dominant
from app.components.summaries import measures_summary, summaries
from app.components.table import rows
from app.figures.definitions import MEASURES, stack_values
from app.figures.selection import Selection
from app.figures.theme import DARK, LIGHT
from app.routing.bootstrap import intervals, sentence_ids
from app.routing.capture import capture
from app.routing.models import LoadedModel
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from tests.unit.test_figures import SMALL, make_trace
from tests.unit.test_figures_kinds import routed


def text_of(part: Any) -> str:
    """All text of components, in order."""
    if part is None:
        return ""
    if isinstance(part, (list, tuple)):
        return "".join(map(text_of, part))
    return text_of(getattr(part, "children", None)) if isinstance(part, Component) else str(part)


def every(part: Any, kind: str) -> list[Any]:
    """All components of a kind, in order."""
    if isinstance(part, (list, tuple)):
        return [found for each in part for found in every(each, kind)]
    if not isinstance(part, Component):
        return []
    own = [part] if type(part).__name__ == kind else []
    return own + every(getattr(part, "children", None), kind)


@pytest.fixture(scope="module")
def crowded(scarce: LoadedModel) -> RoutingTrace:
    return capture(scarce, "The early bird catches the worm. The others come late!", 128)


def test_a_card_per_measure_with_its_description() -> None:
    made = cards(SMALL, "encoder")
    assert len(every(made, "Img")) == len(MEASURES)
    assert [a.href for a in every(made, "A")] == [f"/metrics#{m.anchor}" for m in MEASURES]
    assert [h.children for h in every(made, "H3")] == [
        "Balance",
        "Certainty",
        "Along the text",
        "Over depth",
    ]
    text = text_of(made)
    assert "n: 3 tokens." in text
    assert "n: 2 pairs of neighbouring tokens." in text
    assert "No interval: one sentence." in text


def test_a_card_shows_the_chosen_layer_or_the_span_over_all() -> None:
    def numbers(layer: int | None) -> dict[str, str]:
        made = cards(SMALL, "encoder", layer)
        values = [d for d in every(made, "Div") if d.className == "metric-value"]
        return dict(zip([m.key for m in MEASURES], map(text_of, values), strict=True))

    assert numbers(0)["load_cv"] == "1.11"
    assert numbers(0)["transition_information"] == "–"
    assert numbers(1)["saturation"] == "1"
    assert numbers(None)["saturation"] == "0 to 1"
    assert numbers(None)["active_experts"] == "2"


def test_sparklines_say_their_values() -> None:
    images = every(cards(SMALL, "encoder", theme=DARK), "Img")
    assert images[0].alt == "load CV by layer: 1.11, 1.11"
    assert "transition information by layer: undefined, " in images[14].alt
    assert images[0].src != every(cards(SMALL, "encoder", theme=LIGHT), "Img")[0].src


def test_cards_tell_intervals_and_their_absence(loaded: LoadedModel) -> None:
    trace = capture(loaded, "The early bird. The worm is late. Nobody came!", 128)
    [layer, *_] = trace.layers
    ids = sentence_ids(trace.sequences["encoder"].tokens)
    found = intervals(layer, ids)
    low, high = found["load_cv"]
    text = text_of(cards(trace, "encoder", 0, {0: found}))
    assert f"95 % of resamples of the 3 sentences: {low:.2f} to {high:.2f}." in text
    assert "3 sentences; choose a layer for its interval." in text_of(cards(trace, "encoder"))
    assert "No interval was calculated." in text_of(cards(trace, "encoder", 0))
    assert "whole sentences can't be drawn anew" in text


@pytest.mark.parametrize(
    "trace",
    [
        routed(1, layers=1, experts=1),
        routed(12, experts=64, k=8, score="sigmoid"),
        routed(9, k=2, paired=True, drops=0.4, generated=3),
    ],
    ids=["one", "sigmoid", "paired"],
)
@pytest.mark.parametrize("layer", [None, 0])
def test_panels_of_every_kind(trace: RoutingTrace, layer: int | None) -> None:
    for part in (
        cards(trace, "decoder", layer),
        dominant(trace, "decoder", DARK),
        comparison_facts(trace, 0, len(trace.layers) - 1, "decoder"),
        details(trace, LIGHT, Selection(token=0, layer=layer), "decoder"),
        details(trace, LIGHT, Selection(layer=0, expert=0), "decoder"),
        details(trace, LIGHT, None, "decoder"),
        summaries(trace, "decoder"),
        measures_summary(
            trace.stack_layers("decoder"), stack_values(trace.stack_layers("decoder"))
        ),
    ):
        assert "nan" not in text_of(part).lower().replace("dominant", "")


def test_dominant_experts_by_layer_with_ties_and_tokens() -> None:
    trace = make_trace([[[0], [0], [2]], [[1], [3], [1]], [[0], [1], [2]]])
    made = dominant(trace, "encoder")
    first, second, third = (text_of(row) for row in every(made, "Tr")[1:])
    assert "Layer 1block 10 67%, 2 of 3balance 25.0%" in first
    assert "t0t1" in first
    assert "Layer 2block 31 67%" in second
    assert "012 tie at 33%, 1 of 3" in third
    pairs = [text_of(item) for item in every(made, "Li")]
    assert pairs[0] == "Layer 1, expert 0 67% of the choices, 2 tokens of 3; 2.7 times balance"
    assert pairs[4].endswith("; 2 more tie with it")
    assert "nothing in common but their number" in text_of(made)


def test_load_and_mean_probability_can_disagree() -> None:
    p = np.array([[0.34, 0.33, 0.33], [0.34, 0.33, 0.33], [0.0, 0.01, 0.99]], np.float32)
    trace = make_trace([[[0], [0], [2]]], experts=3)
    layer = trace.layers[0]
    fields = {n: getattr(layer, n) for n in ("name", "stack", "block", "experts", "dropped")}
    weights = np.take_along_axis(p, layer.experts, axis=1)
    changed = type(layer)(**fields, logits=np.log(p + 1e-9), probabilities=p, weights=weights)
    made = dominant(RoutingTrace(trace.text, trace.model, trace.sequences, (changed,)), "encoder")
    row = every(made, "Tr")[1]
    assert [em.children for em in every(row, "Em")] == ["differs"]
    assert "2 .55" in text_of(row)


def test_a_comparison_says_what_it_rests_on() -> None:
    text = text_of(comparison_facts(routed(20), 0, 2, "decoder"))
    assert "layer 1 and layer 3" in text
    assert "n = 20 tokens" in text
    assert "shuffled tokens give" in text
    assert "balanced independent layers give 12.5%" in text
    assert "Experts of two layers are unrelated" in text
    assert "can't be shuffled" in text_of(comparison_facts(routed(1), 0, 1, "decoder"))


def test_details_of_a_dropped_token(crowded: RoutingTrace) -> None:
    layer = crowded.layers[0]
    token = int(np.argmax(layer.dropped))
    expert = int(layer.experts[token, 0])
    text = text_of(details(crowded, LIGHT, Selection(token=token, layer=0)))
    assert f"× Dropped: expert {expert} was over its capacity of 2 tokens." in text
    assert "Weight applied" not in text
    of_expert = text_of(details(crowded, LIGHT, Selection(layer=0, expert=expert)))
    assert "of them dropped: over capacity 2." in of_expert
    assert "(0 where dropped)" in of_expert
    kept = int(np.argmin(layer.dropped))
    assert "Weight applied: ." in text_of(details(crowded, LIGHT, Selection(token=kept, layer=0)))


def test_details_call_scores_by_their_name() -> None:
    scored = routed(5, score="sigmoid")
    expert = int(scored.layers[0].experts[0, 0])
    text = text_of(details(scored, LIGHT, Selection(token=0, layer=0)))
    assert "score, need not sum to 1 (sigmoid)" in text
    assert "Mean score" in text_of(details(scored, LIGHT, Selection(layer=0, expert=expert)))
    plain = details(routed(5), LIGHT, Selection(token=0, layer=0))
    assert "probability p (softmax)" in text_of(plain)


def test_generated_tokens_are_named(loaded: LoadedModel) -> None:
    trace = capture(loaded, Task("The early bird", generation=Generation(6)), 128)
    made = int(trace.sequences["decoder"].generated.sum())
    flow, _load, grid = summaries(trace, "decoder")
    assert f"of the decoder, {made} of them generated. " in flow
    assert " (generated): " in grid
    last = len(trace.sequences["decoder"]) - 1
    text = text_of(details(trace, LIGHT, Selection(token=last), "decoder"))
    assert "generated by the model" in text
    found = {(row["stack"], row["generated"]) for row in rows(trace)}
    assert ("decoder", "true") in found
    assert ("encoder", "true") not in found


def test_summaries_mention_drops(crowded: RoutingTrace) -> None:
    flow, _load, grid = summaries(crowded)
    layers = crowded.stack_layers(crowded.stacks[0])
    measures = measures_summary(layers, stack_values(layers))
    assert " dropped." in flow
    assert " dropped" in grid
    assert "dropped tokens " in measures
    assert "load distance undefined" in measures
