"""A card for each expert of a layer: what it takes, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dash import html
from dash.development.base_component import Component

from app.components.attributes import attributes
from app.components.markup import markup
from app.corpus.atlas.experts import Estimate, Neighbour
from app.corpus.atlas.labels import LabelProfile
from app.corpus.atlas.layer import LEAST_TOKEN_COUNT, ExpertAtlas, LayerAtlas
from app.corpus.atlas.tokens import TopToken
from app.corpus.atlases import Atlas
from app.corpus.counting.examples import Example
from app.figures.atlas import whisker
from app.figures.atlas.colors import counted_colors
from app.figures.atlas.words import interval, ratio_text, share
from app.figures.labels import count_of, number, plain_label, probability
from app.figures.sparkline import HEIGHT, WIDTH, sparkline
from app.figures.theme import LIGHT, Theme, ink

_LABELS, _MORE_LABELS = 3, 8
_TOKENS = 6
_EXAMPLES = 5
_LONGEST = 16


@dataclass(frozen=True)
class _Shown:
    layer: LayerAtlas
    column: int
    profile: LabelProfile | None
    pieces: Mapping[int, str]
    colors: Sequence[str]
    theme: Theme


def cards(atlas: Atlas, layer: int, column: str, sort: str, theme: Theme = LIGHT) -> str:
    """The cards as HTML, by number or by falling load; what they unfold comes with `more`."""
    shown = _shown(atlas, layer, column, theme)
    order = np.arange(len(shown.layer.experts))
    if sort == "load":
        order = np.argsort(-np.nan_to_num(shown.layer.load.value), kind="stable")
    return markup([_card(shown.layer.experts[expert], shown) for expert in order])


def more(
    atlas: Atlas, layer: int, column: str, expert: int, theme: Theme = LIGHT
) -> dict[str, str]:
    """What the card of one expert unfolds, as HTML by the id of its place. IndexError for an
    expert that is not there."""
    shown = _shown(atlas, layer, column, theme)
    its = shown.layer.experts[expert]
    return {_place(its, shown): markup(_more(its, shown))}


def _shown(atlas: Atlas, layer: int, column: str, theme: Theme) -> _Shown:
    return _Shown(
        layer=atlas.layer(layer, column),
        column=atlas.counts.label_columns.index(column) if column else 0,
        profile=atlas.profile(layer, column) if column else None,
        pieces=atlas.pieces,
        colors=counted_colors(theme, atlas.counts),
        theme=theme,
    )


def _place(its: ExpertAtlas, shown: _Shown) -> str:
    """Says the layer and the column too: a late answer must find no other expert's place."""
    return f"more-{shown.layer.index}-{shown.column}-{its.expert}"


def note(atlas: Atlas, layer: int, column: str) -> str:
    """How the numbers of the cards are to be read, in sentences."""
    counts = atlas.counts
    said = [
        f"Loads and confidences have 95 % intervals of {count_of(counts.documents, 'document')} "
        "drawn anew."
        if counts.documents > 1
        else "Without a second document there are no intervals."
    ]
    if column:
        profile = atlas.profile(layer, column)
        said.append(
            f"Risk ratios compare how often an expert takes tokens of a {column} with how often "
            f"it takes any: 1 is chance. Their intervals hold together with 95 %, each at "
            f"{profile.level:.3%} for {count_of(profile.comparisons, 'comparison')}."
        )
    said.append(
        "Tokens are those with the highest pointwise mutual information of the ones that the "
        f"expert took {LEAST_TOKEN_COUNT} times or more."
    )
    return " ".join(said)


def chip(expert: int, color: str) -> Component:
    """An expert by colour and number, as in the figures."""
    style = {"background": color, "color": ink(color)}
    return html.Span(str(expert), className="expert", style=style, title=f"expert {expert}")


def _card(its: ExpertAtlas, shown: _Shown) -> Component:
    heading = f"expert-{its.expert}-title"
    return html.Article(
        [
            html.H3([chip(its.expert, shown.colors[its.expert]), its.speciality], id=heading),
            html.P(its.evidence[0], className="quiet"),
            _numbers(its.expert, shown),
            *_taken(its, shown),
        ],
        id=f"expert-{its.expert}",
        className="expert-card",
        **attributes(data_expert=str(its.expert), aria_labelledby=heading),
    )


def _taken(its: ExpertAtlas, shown: _Shown) -> list[Component]:
    """What an expert takes; nothing if it took no token, which its evidence says."""
    if not shown.layer.load.n[its.expert]:
        return []
    return [
        *([_labels(its.expert, shown.profile, shown, _LABELS)] if shown.profile else []),
        _chips(its.tokens[:_TOKENS], shown.pieces),
        html.Details(
            [
                html.Summary("More", **attributes(aria_label=f"More of expert {its.expert}")),
                html.Div(id=_place(its, shown), className="more"),
            ]
        ),
    ]


def _numbers(expert: int, shown: _Shown) -> Component:
    layer = shown.layer
    uniform = share(1 / layer.shape.num_experts)
    dropped = layer.dropped
    return html.P(
        [
            "load ",
            html.Strong(share(float(layer.load.value[expert]))),
            f"{_ends(layer.load, expert, 100)}, 1/N {uniform} · confidence ",
            html.Strong(number(float(layer.confidence.value[expert]))),
            f"{_ends(layer.confidence, expert)} · dropped ",
            html.Strong(share(float(dropped.value[expert]))),
        ],
        className="numbers",
        title=f"{count_of(int(layer.load.n[expert]), 'token')}; dropped "
        f"{_ends(dropped, expert, 100).strip() or 'without an interval'}",
    )


def _ends(found: Estimate, expert: int, scale: float = 1.0) -> str:
    """Its interval after a space, empty where that is undefined."""
    ends = interval(float(found.low[expert]), float(found.high[expert]), scale)
    return ends and f" {ends}"


def _labels(expert: int, profile: LabelProfile, shown: _Shown, most: int) -> Component:
    """The values whose interval lies highest; those without one come last."""
    low, taken = profile.low[expert], profile.risk_ratio[expert]
    order = np.lexsort((-np.nan_to_num(taken), -np.where(np.isnan(low), -1.0, low)))[:most]
    return html.Table(
        html.Tbody([_label(expert, int(i), profile, shown.theme) for i in order]),
        className="ratios",
    )


def _label(expert: int, row: int, profile: LabelProfile, theme: Theme) -> Component:
    ends = (
        float(profile.risk_ratio[expert, row]),
        float(profile.low[expert, row]),
        float(profile.high[expert, row]),
    )
    return html.Tr(
        [
            html.Th(plain_label(profile.values[row], _LONGEST), scope="row"),
            html.Td(
                html.Img(
                    src=whisker.whisker(*ends, theme),
                    alt="",
                    width=str(whisker.WIDTH),
                    height=str(whisker.HEIGHT),
                )
            ),
            html.Td(ratio_text(*ends)),
        ],
        title=f"{profile.values[row]}: {share(float(profile.recall[expert, row]))} of its "
        f"labelled tokens; {count_of(int(profile.tokens[row]), 'token')} of "
        f"{count_of(int(profile.documents[row]), 'document')} in the corpus",
    )


def _chips(tokens: Sequence[TopToken], pieces: Mapping[int, str]) -> Component:
    if not tokens:
        return html.P(f"No token came here {LEAST_TOKEN_COUNT} times.", className="quiet")
    return html.Div(
        [
            html.Code(
                plain_label(pieces.get(each.token_id, ""), _LONGEST),
                title=f"{each.count} of {each.total}, {each.pmi:.2f} bits",
            )
            for each in tokens
        ],
        className="chips",
    )


def _more(its: ExpertAtlas, shown: _Shown) -> list[Component]:
    """Three columns, one below the other where it is narrow."""
    facts: list[Component] = []
    if its.evidence[1:]:
        facts.append(_part("Evidence", *[html.P(each) for each in its.evidence[1:]]))
    if shown.profile is not None and len(shown.profile.values) > _LABELS:
        facts.append(_part("Labels", _labels(its.expert, shown.profile, shown, _MORE_LABELS)))
    facts += [
        _part("By position", _positions(its.expert, shown)),
        _part(
            "Neighbours",
            html.P(_neighbours("from", its.before, shown.colors), className="neighbours"),
            html.P(_neighbours("to", its.after, shown.colors), className="neighbours"),
        ),
    ]
    tokens = _part("Tokens", _token_table(its.tokens, shown.pieces))
    return [
        html.Div(facts),
        *([html.Div(tokens)] if its.tokens else []),
        html.Div(_part("Examples", *_examples(its.examples))),
    ]


def _part(title: str, *content: Component) -> Component:
    return html.Section([html.H4(title), *content])


def _token_table(tokens: Sequence[TopToken], pieces: Mapping[int, str]) -> Component:
    head = ("token", "times", "of", "bits")
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(text, scope="col") for text in head])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Td(html.Code(plain_label(pieces.get(each.token_id, ""), 24))),
                            html.Td(f"{each.count:,}"),
                            html.Td(f"{each.total:,}"),
                            html.Td(f"{each.pmi:.2f}"),
                        ]
                    )
                    for each in tokens
                ]
            ),
        ],
        className="token-counts",
    )


def _positions(expert: int, shown: _Shown) -> Component:
    """P(expert | position) over the buckets that have tokens; dotted is its share of all."""
    found = shown.layer.positions
    there = found.tokens > 0
    values, starts = found.share[expert, there].tolist(), found.starts[there].tolist()
    k = shown.layer.shape.top_k
    usual = float(shown.layer.load.value[expert]) * k
    texts = [f"from {start} {share(value)}" for start, value in zip(starts, values, strict=True)]
    return html.Img(
        src=sparkline(values, [usual] * len(values), shown.theme),
        alt=f"Share of the tokens by position: {', '.join(texts)}",
        title="\n".join(texts),
        width=str(WIDTH),
        height=str(HEIGHT),
    )


def _neighbours(
    way: str, found: Sequence[Neighbour], colors: Sequence[str]
) -> list[Component | str]:
    """Shares of its tokens, and the lift over the load of the neighbour."""
    if not found:
        return [f"{way}: no router layer"]
    parts: list[Component | str] = [f"{way} "]
    for each in found:
        said = f"{share(each.share)}, lift {number(each.lift)} "
        parts.append(html.Span([chip(each.expert, colors[each.expert]), said]))
    return parts


def _examples(examples: Sequence[Example]) -> list[Component]:
    if not examples:
        return [html.P("None.", className="quiet")]
    rest = examples[_EXAMPLES:]
    shown: list[Component] = [html.Ul([_example(each) for each in examples[:_EXAMPLES]])]
    if rest:
        more = html.Summary(f"All {len(examples)} examples")
        shown.append(html.Details([more, html.Ul([_example(each) for each in rest])]))
    return shown


def _example(each: Example) -> Component:
    return html.Li(
        [
            _line(each.before),
            html.Mark(_line(each.text)),
            _line(each.after),
        ],
        title=f"document {each.document}, position {each.position}, "
        f"p {probability(each.probability)}",
    )


def _line(text: str) -> str:
    return text.replace("\n", "⏎")
