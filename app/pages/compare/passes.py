"""Two passes over corpora side by side: loads, what choices say of a label, what each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.components.corpus_pass import experts_link
from app.components.downloads import Picture
from app.components.panel import HIDDEN, VISIBLE, fitted, frame, panel
from app.corpus.atlas.pairs import load_differences
from app.corpus.library import Library, Pass, PassNotFoundError
from app.figures.atlas.differences import load_differences_figure, load_differences_summary
from app.figures.atlas.information import information_figure
from app.figures.labels import count_of
from app.figures.theme import LIGHT, THEMES, Theme
from app.pages.compare.choosing import address, swap
from app.pages.compare.pair import Pair, Side, pair_of, said
from app.pages.compare.pass_tables import balance_table, facts_table, information_table

_OUTPUTS = 6
_EVEN = "Load CV is 0 and load entropy 1 where every expert takes the same."
_MOVED = (
    "Load moved is the share of assignments that would have to go to other experts; few tokens "
    "raise it."
)


def content(library: Library, a: Pass, b: Pass, asked: Mapping[str, str]) -> Component:
    """Two passes compared."""
    pair = pair_of(library, a.about.id, b.about.id, asked["label"])
    beside = urlencode({"run": a.about.id, "with": b.about.id})
    return html.Div(
        [
            html.Div([_card("a", pair.a), _card("b", pair.b)], className="run-cards"),
            html.Div(
                [
                    swap(asked),
                    dcc.Link(
                        "Both in the atlas, layer by layer", href=links.to(f"/experts?{beside}")
                    ),
                ],
                className="run-actions",
            ),
            facts_table(pair),
            html.Section(
                [
                    html.H2("What can be compared", id="comparable-title"),
                    *[html.P(sentence) for sentence in said(pair)],
                ],
                className="panel comparable",
                **attributes(aria_labelledby="comparable-title"),
            ),
            *panels(pair, asked),
        ],
        className="compare",
    )


def _card(letter: str, side: Side) -> Component:
    about, counts = side.found.about, side.atlas.counts
    heading = f"run-{letter}-title"
    return html.Section(
        [
            html.H2([html.Span(letter, className="run-letter"), about.order.name], id=heading),
            html.P(
                f"{about.order.model} · {count_of(counts.documents, 'document')} · "
                f"{count_of(counts.tokens, 'token')}",
                className="quiet",
            ),
            experts_link(about.id, f"Open the experts of {letter}"),
        ],
        className="run-card",
        **attributes(aria_labelledby=heading),
    )


def panels(pair: Pair | None = None, asked: Mapping[str, str] | None = None) -> list[Component]:
    """Every part is always there, hidden where there is nothing to show in it."""
    data = {**(asked or {}), "label": pair.label} if pair else None
    labelled = pair is not None and bool(pair.label)
    return [
        html.Div(
            panel(
                "load-differences",
                "Difference of the load",
                "Share of a layer’s assignments in b less that in a, in percentage points. Blue "
                "is more in b, orange less; faded where the interval, corrected for the number of "
                "experts, holds 0. The scale is fixed.",
                frame(ids.PASSES_LOADS, "load-frame", "Difference of the load"),
                ids.PASSES_LOADS_SUMMARY,
                (Picture(ids.PASSES_LOADS, "load-difference"),),
            ),
            style=VISIBLE if pair and pair.alike else HIDDEN,
        ),
        html.Div(
            panel(
                "balance",
                "Balance of each layer",
                f"{_EVEN} {_MOVED}" if pair and pair.alike else _EVEN,
                balance_table(pair, _differences(pair)) if pair else html.Div(),
            ),
            style=VISIBLE if pair else HIDDEN,
        ),
        html.Div(
            panel(
                "information",
                "What the choice of expert says of the label",
                "Bits per token in each layer with 95 % intervals of documents; a is solid with "
                "dots, b dashed with squares. Dotted: labels shuffled among documents; the "
                "band holds 95 % of the shuffles.",
                html.Div(
                    [
                        _columns(pair, asked) if pair and asked else html.Div(),
                        frame(
                            ids.PASSES_INFORMATION, "information-frame", "Information over depth"
                        ),
                        html.Div(id=ids.PASSES_INFORMATION_TABLE),
                    ]
                ),
                pictures=(Picture(ids.PASSES_INFORMATION, "label-information"),),
            ),
            style=VISIBLE if labelled else HIDDEN,
        ),
        dcc.Store(id=ids.PASSES_COMPARED, data=data),
        dcc.Store(id=ids.PASSES_THEME),
    ]


def _columns(pair: Pair, asked: Mapping[str, str]) -> Component:
    """The labels that both have, to look at another."""
    return html.Nav(
        [
            html.Span(column, **attributes(aria_current="true"))
            if column == pair.label
            else dcc.Link(column, href=address(asked, label=column))
            for column in pair.columns
        ],
        className="stacks",
        **attributes(aria_label="Label"),
    )


def _differences(pair: Pair) -> Any:
    counts = pair.a.atlas.counts, pair.b.atlas.counts
    return load_differences(*counts, pair.paired) if pair.alike else ()


def drawn(library: Library, asked: Mapping[str, str], theme: Theme) -> tuple[Any, ...]:
    """Difference of loads and information over depth, each with its style, the first in words
    and the second as a table; unchanged where not drawn."""
    try:
        pair = pair_of(library, asked["a"], asked["b"], asked["label"])
    except (PassNotFoundError, FileNotFoundError):
        # Removed since the page was opened: what stands there stays.
        return (no_update,) * _OUTPUTS
    loads: tuple[Any, ...] = (no_update,) * 3
    labels: tuple[Any, ...] = (no_update,) * 3
    if differences := _differences(pair):
        figure = load_differences_figure(differences, theme)
        loads = (*fitted(figure), load_differences_summary(differences))
    if pair.label:
        a, b = (side.atlas.information(pair.label) for side in (pair.a, pair.b))
        figure = information_figure(a, theme, None, b)
        labels = (*fitted(figure), information_table(a, b, pair.label))
    return *loads, *labels


def register(app: Dash, analyst: Analyst) -> None:
    """The callbacks that draw."""
    app.clientside_callback(
        ClientsideFunction("moescope", "themeNow"),
        Output(ids.PASSES_THEME, "data"),
        Input(ids.PASSES_THEME, "id"),
    )

    @app.callback(
        Output(ids.PASSES_LOADS, "figure"),
        Output(ids.PASSES_LOADS, "style"),
        Output(ids.PASSES_LOADS_SUMMARY, "children"),
        Output(ids.PASSES_INFORMATION, "figure"),
        Output(ids.PASSES_INFORMATION, "style"),
        Output(ids.PASSES_INFORMATION_TABLE, "children"),
        Input(ids.PASSES_THEME, "data"),
        State(ids.PASSES_COMPARED, "data"),
        prevent_initial_call=True,
    )
    def _draw(theme: Any, asked: Any) -> Any:
        if not asked:
            return (no_update,) * _OUTPUTS
        return drawn(analyst.library, asked, THEMES.get(theme or "", LIGHT))
