"""Two runs compared, in words and tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from app.components import links
from app.components.attributes import attributes
from app.components.notes import notes
from app.figures.changes import columns
from app.figures.definitions import MEASURES, Measure
from app.figures.difference import points
from app.figures.labels import count_of, layer_label, layer_place, number, plain_label
from app.recording.base import RecordedRun
from app.routing.alignment import common
from app.routing.comparison import Comparison, LayerComparison, MetricDifference, StackComparison
from app.routing.reproduction import flat
from app.routing.trace import RoutingTrace

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
# Above this product of words a diff of the texts would be felt.
_MOST_STEPS = 20_000_000
_READ_CHANGES = 12


def run_card(name: str, run: RecordedRun, other: RecordedRun) -> Component:
    """One of the two runs: its text with what the other's lacks marked, its model, its link."""
    trace, summary = run.trace, run.summary
    heading = f"run-{name}-title"
    named = summary.name not in ("", summary.text)
    texts = [("Text", trace.text, other.trace.text)]
    for label, mine, others in (
        ("Target", trace.target, other.trace.target),
        ("Generated", trace.output, other.trace.output),
    ):
        if mine:
            texts.append((label, mine, others or ""))
    return html.Section(
        [
            html.H2(
                [
                    html.Span(name, className="run-letter"),
                    *([f"{summary.name} · "] if named else []),
                    trace.model.id,
                ],
                id=heading,
            ),
            *[
                html.Div(
                    [html.H3(label, className="quiet"), html.P(marked(mine, others, name))],
                    className="run-text",
                )
                for label, mine, others in texts
            ],
            html.P(
                [
                    f"Revision {trace.model.revision[:12]} · ",
                    html.Time(
                        f"{summary.created:%Y-%m-%d %H:%M} UTC",
                        dateTime=summary.created.isoformat(),
                    ),
                    *([] if summary.status == "recorded" else [f" · {summary.status}"]),
                ],
                className="quiet",
            ),
            html.P(notes(trace), className="quiet"),
            dcc.Link(f"Open run {name}", href=links.to(f"/runs/{summary.run_id}")),
        ],
        className="run-card",
        **attributes(aria_labelledby=heading),
    )


def marked(text: str, other: str, name: str) -> list[Component | str]:
    """A text in pieces; what the other one lacks is marked, as gone in a and as new in b."""
    words, others = _WORDS.findall(text), _WORDS.findall(other)
    if text == other or len(words) * len(others) > _MOST_STEPS:
        return [text]
    mark = html.Del if name == "a" else html.Ins
    kept = set(common(words, others)[:, 0].tolist())
    pieces: list[Component | str] = []
    start = 0
    for index in range(1, len(words) + 1):
        if index == len(words) or (index in kept) != (start in kept):
            piece = "".join(words[start:index])
            pieces.append(piece if start in kept else mark(piece))
            start = index
    return pieces


def settings_table(a: RoutingTrace, b: RoutingTrace) -> Component:
    """What was not the same in both, beside the texts."""
    rows = list(differing(a, b))
    if not rows:
        return html.P("Model, settings and library versions are the same in both.")
    return table(
        "What differs beside the texts", ("Setting", "a", "b"), rows, className="compared settings"
    )


def differing(a: RoutingTrace, b: RoutingTrace) -> Iterator[tuple[str, str, str]]:
    """Name and both values of everything that differs."""
    one, other = (_settings(trace) for trace in (a, b))
    for name in [*one, *(name for name in other if name not in one)]:
        if one.get(name) != other.get(name):
            yield name.replace("_", " "), _value(one, name), _value(other, name)


def _settings(trace: RoutingTrace) -> dict[str, Any]:
    model = {
        "model": trace.model.id,
        "revision": trace.model.revision,
        "architecture": trace.model.architecture,
    }
    return model | dict(flat(trace.provenance))


def _value(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "–" if value is None else str(value)


def alignment_text(part: StackComparison) -> str:
    """How the tokens were paired, and how many."""
    found = part.alignment
    return (
        f"Tokens aligned {found.method}. {found.aligned_a:,} of "
        f"{count_of(found.tokens_a, 'token')} of a and {found.aligned_b:,} of "
        f"{found.tokens_b:,} of b have a partner; "
        f"{len(found.only_a):,} are only in a, {len(found.only_b):,} only in b."
    )


def changes_table(part: StackComparison) -> Component:
    """What became of the aligned tokens in each layer."""
    caption = f"By layer, over n = {count_of(len(part.alignment.pairs), 'aligned pair')}"
    if part.relation == "other":
        return table(
            "By pair of layers at the same relative depth",
            ("Layer of a", "Layer of b", *_INFORMATION),
            [
                (layer_label(each.index_a), layer_label(each.index_b), *_information(each))
                for each in part.layers
            ],
        )
    layers = [each.a for each in part.layers]
    shape = part.relation == "shape"
    return table(
        caption,
        (
            "Layer",
            "Another expert",
            "Share",
            "Distance of probabilities, bits",
            "Dropped in a",
            "Dropped in b",
            *(_INFORMATION if shape else ()),
        ),
        [
            (
                f"{layer_label(index)} ({layer_place(each.a, layers)})",
                _changed(each),
                "–" if math.isnan(each.share_changed) else f"{each.share_changed:.0%}",
                number(each.distance),
                str(int(each.a.dropped.sum())),
                str(int(each.b.dropped.sum())),
                *(_information(each) if shape else ()),
            )
            for index, each in enumerate(part.layers)
        ],
    )


_INFORMATION = ("Information, bits", "Shuffled, mean", "95 % below", "n tokens")


def _information(each: LayerComparison) -> tuple[str, ...]:
    found = each.information
    if found is None:
        return ("–",) * 4
    return number(found.bits), number(found.null_mean), number(found.null_95), f"{found.n:,}"


def _changed(each: LayerComparison) -> str:
    assert each.changed is not None
    return f"{int(each.changed.sum()):,} of {len(each.changed):,}"


def means_table(part: StackComparison) -> Component:
    """The measures' means over the stack's layers in both, and their difference."""
    found = {each.name: each for each in part.means}
    rows = [(m.title, *_numbers(m, found[m.key])) for m in MEASURES if m.key in found]
    first = part.means[0]
    return table(
        f"Mean over the layers; a has n = {count_of(first.n_a, 'token')}, b {first.n_b:,}",
        ("Measure", "a", "b", "b − a", "n in a", "n in b"),
        rows,
    )


def layers_table(part: StackComparison) -> Component:
    """The measures of every pair of layers in both."""
    found: dict[str, list[MetricDifference]] = {}
    for each in part.metrics:
        if each.layer is not None:
            found.setdefault(each.name, []).append(each)
    rows = [
        (m.title, _place(part.layers[each.layer or 0]), *_numbers(m, each))
        for m in MEASURES
        for each in found.get(m.key, [])
    ]
    return table(
        "By measure and layer", ("Measure", "Layer", "a", "b", "b − a", "n in a", "n in b"), rows
    )


def _place(each: LayerComparison) -> str:
    if each.index_a == each.index_b:
        return layer_label(each.index_a)
    return f"{each.index_a + 1} of a, {each.index_b + 1} of b"


def _numbers(measure: Measure, found: MetricDifference) -> tuple[str, ...]:
    change = found.difference
    sign = "−" if change < 0 else "+" if change > 0 else ""
    told = "–" if math.isnan(change) else f"{sign}{measure.text(abs(change))}"
    if measure.percent and not math.isnan(change):
        told = f"{points(change) or '0'} points"
    return measure.text(found.a), measure.text(found.b), told, f"{found.n_a:,}", f"{found.n_b:,}"


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    className: str = "compared",  # noqa: N803
) -> Component:
    """A table in a frame where it scrolls; the first cell of a row names it."""
    return html.Div(
        html.Table(
            [
                html.Caption(caption),
                html.Thead(html.Tr([html.Th(head, scope="col") for head in heads])),
                html.Tbody(
                    [
                        html.Tr(
                            [html.Th(row[0], scope="row"), *[html.Td(cell) for cell in row[1:]]]
                        )
                        for row in rows
                    ]
                ),
            ],
            className=className,
        ),
        className="scroller",
        tabIndex="0",
        role="group",
        **attributes(aria_label=caption),
    )


def changes_summary(comparison: Comparison, part: StackComparison) -> str:
    """The figure of changes in words."""
    if part.relation == "other":
        return ""
    one, other = (t.sequences[part.stack] for t in (comparison.a, comparison.b))
    told = [alignment_text(part)]
    for index, each in enumerate(part.layers):
        assert each.changed is not None
        changed = part.alignment.pairs[each.changed].tolist()
        said = [
            f"{plain_label(other.tokens[b])} {_set(each.a.experts[a])} to {_set(each.b.experts[b])}"
            for a, b in changed[:_READ_CHANGES]
        ]
        more = len(changed) - len(said)
        told.append(
            f"{layer_label(index)}: {_changed(each)} aligned pairs changed expert"
            + (f": {'; '.join(said)}" if said else "")
            + (f"; {more} more." if more > 0 else ".")
        )
    for name, sequence, only in (
        ("a", one, [c.a for c in columns(part) if c.b is None]),
        ("b", other, [c.b for c in columns(part) if c.a is None]),
    ):
        listed = [plain_label(sequence.tokens[i]) for i in only[:_READ_CHANGES] if i is not None]
        if listed:
            more = len(only) - len(listed)
            told.append(f"Only in {name}: {' '.join(listed)}{f' and {more} more' if more else ''}.")
    return " ".join(told)


def _set(experts: Any) -> str:
    return "+".join(map(str, sorted(experts.tolist())))


def difference_summary(part: StackComparison) -> str:
    """The figure of load differences in words: what moved most in each layer."""
    if part.relation == "other":
        return ""
    told = ["Difference of the load, b less a, in percentage points."]
    for index, each in enumerate(part.layers):
        assert each.load_difference is not None
        moved = sorted(enumerate(each.load_difference.tolist()), key=lambda item: -abs(item[1]))
        said = [f"expert {expert} {points(by)}" for expert, by in moved[:8] if by != 0]
        told.append(f"{layer_label(index)}: {', '.join(said) or 'no difference'}.")
    return " ".join(told)
