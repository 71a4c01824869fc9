"""The parts of the page, empty until they are drawn."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from app.components import ids
from app.components.attributes import attributes
from app.components.downloads import Picture
from app.components.panel import HIDDEN, VISIBLE, frame, panel
from app.figures.atlas.words import layer_names
from app.pages.experts.address import MOST_TOKEN, SORTS, Asked
from app.pages.experts.views import View

_SORTED = {"number": "number", "load": "load, highest first"}


def choices(asked: Asked, view: View | None) -> Component:
    """Layer, label column and order of the cards, and where to go on the page."""
    shape = view.atlas.counts.shape if view else ()
    columns = view.atlas.counts.label_columns if view else ()
    layers = [(name, str(index + 1)) for index, name in enumerate(layer_names(shape))]
    return html.Div(
        [
            _choice(ids.EXPERTS_LAYER, "Layer", layers, str(view.layer + 1) if view else ""),
            html.Span(
                _choice(
                    ids.EXPERTS_LABEL,
                    "Label",
                    [(each, each) for each in columns],
                    view.column if view else "",
                ),
                style={} if columns else HIDDEN,
            ),
            _choice(
                ids.EXPERTS_SORT, "Cards by", [(_SORTED[each], each) for each in SORTS], asked.sort
            ),
            _contents(bool(asked.beside)),
        ],
        className="controls",
        style={} if view else HIDDEN,
    )


def _contents(two: bool) -> Component:
    """The parts of a page that many experts make long; assets/experts.js moves there."""
    places = [
        *([("the other pass", "beside-title")] if two else []),
        ("cards", ids.EXPERTS_TITLE),
        ("token search", "token-title"),
        ("similarity", "similarity-title"),
    ]
    return html.Nav(
        [
            html.Span("go to:", className="quiet"),
            *[
                html.Button(words, className="link", type="button", **attributes(data_go=place))
                for words, place in places
            ],
        ],
        className="examples",
        **attributes(aria_label="On this page"),
    )


def _choice(id_: str, label: str, options: list[tuple[str, str]], value: str) -> Component:
    return html.Span(
        [
            html.Label(label, htmlFor=id_, className="quiet"),
            dbc.Select(
                id=id_,
                options=[{"label": name, "value": each} for name, each in options],
                value=value,
                size="sm",
            ),
        ],
        className="choice",
    )


def labels(view: View | None) -> Component:
    """Risk ratios of one layer, and information over depth."""
    return html.Div(
        [
            panel(
                "risk",
                "What each expert prefers",
                "How many times as often an expert takes tokens of a label as it takes any. "
                "Blue is more, orange less; faded where the corrected interval holds 1 "
                "or there is none. Click a cell for the expert’s card.",
                html.Div(
                    [
                        html.P(id=ids.RISK_NOTE, className="quiet"),
                        frame(ids.RISK, "risk-frame", "Risk ratios of experts and labels"),
                    ]
                ),
                ids.RISK_SUMMARY,
                (Picture(ids.RISK, "risk-ratios"),),
            ),
            panel(
                "information",
                "What the choice of expert says of the label",
                "Bits per token in each layer with 95 % intervals of documents. Dotted: labels "
                "shuffled among documents; the band holds 95 % of the shuffles.",
                frame(ids.INFORMATION, "information-frame", "Information over depth"),
                pictures=(Picture(ids.INFORMATION, "label-information"),),
            ),
        ],
        className="row-atlas",
        style={} if view and view.column else HIDDEN,
    )


def beside(shown: bool) -> Component:
    """The second pass beside the first."""
    return html.Div(
        panel(
            "beside",
            "Two passes side by side",
            "a is solid with dots, b dashed with squares; 95 % intervals of documents. Dotted "
            "is balance for the load, and shuffled labels for the information.",
            html.Div(
                [
                    html.Div(id=ids.EXPERTS_COMPARABLE),
                    html.Div(
                        [
                            html.H3("Load"),
                            frame(ids.TWO_LOADS, "two-loads-frame", "Loads of both passes"),
                        ],
                        id=ids.TWO_LOADS_FRAME,
                        style=HIDDEN,
                    ),
                    html.Div(
                        [
                            html.H3("Risk ratios in b"),
                            frame(ids.RISK_BESIDE, "risk-frame", "Risk ratios in b"),
                            html.H3("Information in both"),
                            frame(
                                ids.INFORMATION_BESIDE,
                                "information-frame",
                                "Information over depth in both passes",
                            ),
                        ],
                        id=ids.TWO_LABELS_FRAME,
                        style=HIDDEN,
                    ),
                ]
            ),
            pictures=(
                Picture(ids.TWO_LOADS, "loads-of-both", "load"),
                Picture(ids.RISK_BESIDE, "risk-ratios-b", "risk ratios in b"),
                Picture(ids.INFORMATION_BESIDE, "information-of-both", "information"),
            ),
        ),
        style=VISIBLE if shown else HIDDEN,
    )


def experts(view: View | None) -> Component:
    """The cards."""
    return html.Section(
        [
            html.H2("Experts of the layer", id=ids.EXPERTS_TITLE),
            html.P(id=ids.EXPERTS_NOTE, className="caption"),
            html.Div(id=ids.EXPERTS_CARDS, className="expert-cards"),
        ],
        className="panel",
        style={} if view else HIDDEN,
        **attributes(aria_labelledby=ids.EXPERTS_TITLE),
    )


def token(asked: Asked, view: View | None) -> Component:
    """The search for a token."""
    return html.Div(
        panel(
            "token",
            "Where a token goes",
            "Share of its occurrences in this corpus that each expert takes, layer by layer.",
            html.Div(
                [
                    html.Span(
                        [
                            html.Label("Token", htmlFor=ids.EXPERTS_PIECE, className="quiet"),
                            dbc.Input(
                                id=ids.EXPERTS_PIECE,
                                type="search",
                                value=asked.token,
                                placeholder="part of a word",
                                maxlength=MOST_TOKEN,
                                size="sm",
                                debounce=300,
                            ),
                        ],
                        className="choice",
                    ),
                    html.Div(
                        [
                            html.Div(id=ids.EXPERTS_FOUND, **attributes(aria_live="polite")),
                            html.Div(
                                frame(ids.PIECE, "token-frame", "Experts of the token by layer"),
                                id=ids.PIECE_FRAME,
                                style=HIDDEN,
                            ),
                        ],
                        className="row-token",
                    ),
                ]
            ),
            pictures=(Picture(ids.PIECE, "token"),),
        ),
        style=VISIBLE if view else HIDDEN,
    )


def similarity(view: View | None) -> Component:
    """The map of experts that take the same tokens."""
    return html.Div(
        panel(
            "similarity",
            "Which experts take the same tokens",
            "Jensen–Shannon distance of their token distributions: 0 is the same tokens, 1 none "
            "in common. The alike stand together.",
            frame(ids.SIMILARITY, "similarity-frame", "Distances of the experts"),
            pictures=(Picture(ids.SIMILARITY, "expert-similarity"),),
        ),
        style=VISIBLE if view else HIDDEN,
    )
