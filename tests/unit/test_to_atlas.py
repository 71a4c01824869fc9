"""The links from a selection to the expert atlas."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from app.components.details import details
from app.components.to_atlas import to_atlas
from app.figures.selection import Selection
from app.figures.theme import LIGHT
from app.routing.capture import capture
from app.routing.models import LoadedModel
from app.routing.task import Task
from tests.unit.test_figures import SMALL, random_trace
from tests.unit.test_figures_kinds import routed
from tests.unit.test_panels import every, text_of


def led(made: Any) -> list[dict[str, str]]:
    """What the addresses of the atlas say that it leads to."""
    links = [a for a in every(made, "A") if hasattr(a, "data-atlas")]
    found = [parse_qs(getattr(a, "data-atlas")) for a in links]
    return [{name: values[0] for name, values in each.items()} for each in found]


def test_an_expert_leads_to_its_card() -> None:
    made = to_atlas(SMALL, Selection(layer=1, expert=2), "encoder")
    assert led(made) == [{"layer": "2", "expert": "2"}]
    assert "Expert 2 in the atlas" in text_of(made)
    flow = Selection(layer=1, expert=2, source=0)
    assert led(to_atlas(SMALL, flow, "encoder")) == led(made)


def test_a_token_leads_to_its_experts_and_to_its_search() -> None:
    trace = random_trace(5, k=2)
    made = to_atlas(trace, Selection(token=1, layer=3), "encoder")
    chosen = [str(expert) for expert in trace.layers[3].experts[1]]
    piece = trace.sequences["encoder"].tokens[1]
    assert led(made) == [
        *[{"layer": "4", "expert": expert} for expert in chosen],
        {"layer": "4", "token": f"«{piece}»"},
    ]
    assert f"Where {piece} goes in the corpus" in text_of(made)
    without_layer = to_atlas(trace, Selection(token=1), "encoder")
    assert {each["layer"] for each in led(without_layer)} == {"1"}


def test_they_wait_for_a_pass_of_the_same_weights() -> None:
    links, none = to_atlas(SMALL, Selection(token=0), "encoder")
    assert links.hidden
    assert none.hidden
    assert getattr(links, "data-model") == SMALL.model.id
    assert getattr(links, "data-revision") == SMALL.model.revision
    assert all(not hasattr(a, "href") for a in links.children)
    assert [a.href for a in every(none, "A")] == ["/corpora"]


def test_only_the_stack_that_reads_the_text_has_an_atlas(loaded: LoadedModel) -> None:
    trace = capture(loaded, Task("A bird in the hand", target="is worth two"), 128)
    pin = Selection(layer=0, expert=0)
    assert led(details(trace, LIGHT, pin, "encoder"))
    assert not led(details(trace, LIGHT, pin, "decoder"))
    only = routed(5)
    assert only.stacks == ("decoder",)
    assert led(details(only, LIGHT, pin))
    assert not led(details(only, LIGHT, None))
