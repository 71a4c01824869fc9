"""The measures of one stack as cards: a number, its course over depth, what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dash import html
from dash.development.base_component import Component

from app.components.about import about
from app.figures.definitions import (
    GROUPS,
    MEASURES,
    Measure,
    Values,
    finite,
    stack_values,
    why_undefined,
)
from app.figures.labels import layer_label, span
from app.figures.sparkline import HEIGHT, WIDTH, sparkline, sparkline_text
from app.figures.theme import LIGHT, Theme
from app.routing import bootstrap
from app.routing.trace import RouterLayer, RoutingTrace, Stack

# By the index of a layer: what `bootstrap.intervals` gave for it.
Intervals = Mapping[int, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True)
class _Shown:
    layers: tuple[RouterLayer, ...]
    values: Values
    layer: int | None
    theme: Theme
    intervals: Intervals | None
    sentences: int


def cards(
    trace: RoutingTrace,
    stack: Stack,
    layer: int | None = None,
    intervals: Intervals | None = None,
    theme: Theme = LIGHT,
    values: Values | None = None,
) -> list[Component]:
    """A grid of cards under a heading per group of measures.

    Of the router layer at the index `layer`, or from the lowest to the highest over all.
    `intervals` holds the confidence intervals of the layers for which they were calculated.
    `values` may be handed in where `stack_values` of the same layers is known already.
    """
    layers = trace.stack_layers(stack)
    sentences = int(bootstrap.sentence_ids(trace.sequences[stack].tokens)[-1]) + 1
    shown = _Shown(layers, values or stack_values(layers), layer, theme, intervals, sentences)
    groups = [
        html.Section(
            [
                html.H3(group.capitalize()),
                html.Div(
                    [_card(measure, shown) for measure in MEASURES if measure.group == group],
                    className="metrics",
                ),
            ],
            className="metric-group",
        )
        for group in GROUPS
    ]
    return [html.Div(groups, className="metric-groups")]


def _card(measure: Measure, shown: _Shown) -> Component:
    points = shown.values[measure.key]
    levels = measure.levels(shown.layers, shown.values)
    texts = [measure.text(point) for point in points]
    alt = sparkline_text(measure.title, [text.replace("–", "undefined") for text in texts])
    top = measure.top(shown.layers, shown.values)
    return html.Div(
        [
            html.Span(measure.title, className="metric-title"),
            _help(measure, levels, shown),
            html.Div(_number(measure, points, shown), className="metric-value"),
            html.Img(
                src=sparkline(points, levels, shown.theme, shown.layer, top),
                alt=alt,
                width=str(WIDTH),
                height=str(HEIGHT),
            ),
        ],
        className="metric",
    )


def _number(measure: Measure, points: Sequence[float], shown: _Shown) -> list[Component | str]:
    if shown.layer is None:
        if not finite(points):
            return [html.Span("–", title=why_undefined(measure, len(points) - 1))]
        exact = span([f"{value:.6g}" for value in sorted(finite(points))])
        number = html.Strong(measure.range_text(points), title=exact)
    else:
        point = points[shown.layer]
        if math.isnan(point):
            return [html.Span("–", title=why_undefined(measure, shown.layer))]
        number = html.Strong(measure.text(point), title=f"{point:.6g}")
    found = _interval(measure, shown)
    ends = f" {measure.text(found[0])}–{measure.text(found[1])}" if found else ""
    return [number, f" {measure.unit}" if measure.unit else "", html.Small(ends)]


def _interval(measure: Measure, shown: _Shown) -> tuple[float, float] | None:
    if shown.intervals is None or shown.layer is None:
        return None
    return shown.intervals.get(shown.layer, {}).get(measure.key)


def _help(measure: Measure, levels: list[float], shown: _Shown) -> Component:
    chosen = shown.layer if shown.layer is not None else 0
    facts = [f"n: {measure.n(shown.layers[chosen])}."]
    if finite(levels):
        level = measure.text(levels[chosen])
        if shown.layer is None or math.isnan(levels[chosen]):
            level = measure.range_text(levels)
        facts.append(f"Dotted, {level}: {measure.reference_text}.")
    facts.append(_interval_text(measure, shown))
    if gaps := [i for i, value in enumerate(shown.values[measure.key]) if math.isnan(value)]:
        where = "" if len(gaps) == len(shown.layers) else f" at {layer_label(gaps[0]).lower()}"
        facts.append(f"Undefined{where}: {why_undefined(measure, gaps[0])}.")
    return about(measure.title, measure.formula, measure.definition, facts, measure.anchor)


def _interval_text(measure: Measure, shown: _Shown) -> str:
    if measure.key not in bootstrap.NAMES:
        return "No interval: whole sentences can't be drawn anew for it."
    if shown.sentences < 2:
        return "No interval: one sentence."
    if shown.layer is None:
        return f"{shown.sentences} sentences; choose a layer for its interval."
    found = _interval(measure, shown)
    if found is None:
        return "No interval was calculated."
    low, high = (measure.text(end) for end in found)
    return f"95 % of resamples of the {shown.sentences} sentences: {low} to {high}."
