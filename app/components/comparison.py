"""Two router layers of one stack compared, in words and numbers."""

from __future__ import annotations

import math

from dash import html
from dash.development.base_component import Component

from app.figures.depth import information, load_distance
from app.figures.labels import count_of, layer_label, number
from app.routing.metrics import saturation
from app.routing.trace import RouterLayer, RoutingTrace, Stack


def comparison_facts(trace: RoutingTrace, a: int, b: int, stack: Stack) -> list[Component]:
    """What the layers at the indices `a` and `b` have in common."""
    layers = trace.stack_layers(stack)
    first, second = layers[a], layers[b]
    names = f"{layer_label(a).lower()} and {layer_label(b).lower()}"
    found = information(first, second)
    distance = load_distance(first, second)
    if math.isnan(found.bits):
        told = "undefined: one token can't be shuffled"
    else:
        told = (
            f"{number(found.bits)} bits; shuffled tokens give {number(found.null_mean)} on "
            f"average, 95 % of them less than {number(found.null_95)}; n = "
            f"{count_of(found.n, 'token')}"
        )
    apart = (
        "undefined: the layers differ in their number of experts"
        if math.isnan(distance)
        else f"{number(distance)} bits; 0 is equal, 1 no expert in common"
    )
    return [
        html.Dl(
            [
                html.Dt(f"Transition information between {names}"),
                html.Dd(told),
                html.Dt("Distance of the two loads (Jensen–Shannon)"),
                html.Dd(apart),
                html.Dt("Same expert number in both"),
                html.Dd(_same(first, second)),
            ],
            className="facts",
        ),
        html.P(
            "Experts of two layers are unrelated: expert 3 here has nothing to do with expert 3 "
            "there. The last two numbers compare load patterns by number only.",
            className="quiet",
        ),
    ]


def _same(a: RouterLayer, b: RouterLayer) -> str:
    if a.top_k != b.top_k:
        return "undefined: the layers choose different numbers of experts"
    share = saturation(a.experts, b.experts)
    tokens = count_of(len(a.experts), "token")
    whose = "of the tokens" if a.top_k == 1 else f"of the {a.top_k} choices of a token, on average"
    chance = a.top_k / max(a.num_experts, b.num_experts)
    return f"{share:.0%} {whose}; balanced independent layers give {chance:.1%}; n = {tokens}"
