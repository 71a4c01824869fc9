"""Tables of two passes over corpora."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dash.development.base_component import Component

from app.components.compared import table
from app.corpus import atlas
from app.corpus.atlas.labels import LabelInformation
from app.corpus.atlas.pairs import LoadDifference
from app.figures.atlas.words import interval, share
from app.figures.labels import layer_label, number, span
from app.pages.compare.pair import Pair, Side
from app.routing.metrics import coefficient_of_variation, load_entropy

_DASH = "–"
# Of a digest: two that begin alike are the same.
_DIGITS = 16


def facts_table(pair: Pair) -> Component:
    """What each of the two is: corpus, model, and how much was counted."""
    a, b = (_facts(side) for side in (pair.a, pair.b))
    rows = [(name, a[name], b[name]) for name in a]
    return table("What the two are", ("", "a", "b"), rows, className="compared settings about-pass")


def _facts(side: Side) -> dict[str, str]:
    found, counted = side.found, side.atlas.counts
    about = found.about
    order, model, shape = about.order, about.model, counted.shape
    experts = sorted({layer.num_experts for layer in shape})
    return {
        "Corpus": order.name,
        "Files": ", ".join(name.rpartition("/")[2] for name in order.files),
        "SHA-256": f"{found.digest[:_DIGITS]}…" if found.digest else _DASH,
        "Documents": f"{counted.documents:,}",
        "Tokens": f"{counted.tokens:,}",
        "Documents cut": f"{counted.truncated:,} to {order.max_tokens:,} tokens",
        "Rows skipped": f"{found.state.skips.total:,}",
        "Text and labels": f"{order.text}; {', '.join(order.labels) or 'no labels'}",
        "Model": str(model.get("id", order.model)),
        "Revision": str(model.get("revision", ""))[:12],
        "Architecture": f"{model.get('architecture', '')}, {model.get('dtype', '')}",
        "Routers": f"{len(shape)} in the {shape[0].stack}, {span([str(n) for n in experts])} "
        f"experts, top-{shape[0].top_k}",
        "Begun": f"{about.created:%Y-%m-%d %H:%M} UTC",
    }


def balance_table(pair: Pair, differences: Sequence[LoadDifference]) -> Component:
    """How evenly each layer spreads its tokens, and how much of the load moved; the latter
    where `differences` has the layers."""
    sides = (pair.a, pair.b)
    rows = []
    for index in range(max(len(side.atlas.counts.shape) for side in sides)):
        cvs, entropies = zip(*(_balance(side, index) for side in sides), strict=True)
        moved = [share(differences[index].moved)] if differences else []
        rows.append((layer_label(index), *cvs, *entropies, *moved))
    return table(
        "By layer",
        (
            "Layer",
            "Load CV, a",
            "b",
            "Load entropy, a",
            "b",
            *(("Load moved",) if differences else ()),
        ),
        rows,
    )


def _balance(side: Side, layer: int) -> tuple[str, str]:
    counts = side.atlas.counts
    if layer >= len(counts.shape):
        return _DASH, _DASH
    load = atlas.load(counts, layer).value
    return number(coefficient_of_variation(load)), number(load_entropy(load).normalised)


def information_table(
    a: Sequence[LabelInformation], b: Sequence[LabelInformation], label: str
) -> Component:
    """I(label; expert) of every layer in both, with intervals and what shuffles reach."""
    rows = [
        (layer_label(index), *_bits(a, index), *_bits(b, index), _change(a, b, index))
        for index in range(max(len(a), len(b)))
    ]
    heads = ("bits", "95 % interval", "shuffled, 95 % below", "n documents")
    return table(
        f"Information on {label}, by layer",
        ("Layer", *(f"{letter}, {head}" for letter in ("a", "b") for head in heads), "b − a"),
        rows,
    )


def _bits(found: Sequence[LabelInformation], layer: int) -> tuple[str, ...]:
    if layer >= len(found):
        return (_DASH,) * 4
    its = found[layer]
    ends = interval(its.low, its.high).strip("()") or _DASH
    return number(its.bits), ends, number(its.null_high), f"{its.documents:,}"


def _change(a: Sequence[LabelInformation], b: Sequence[LabelInformation], layer: int) -> str:
    if layer >= min(len(a), len(b)):
        return _DASH
    change = b[layer].bits - a[layer].bits
    if math.isnan(change):
        return _DASH
    sign = "−" if change < 0 else "+" if change > 0 else ""
    return f"{sign}{number(abs(change))}"
