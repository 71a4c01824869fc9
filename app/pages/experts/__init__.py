"""The expert atlas: what each expert takes in a corpus that a model has read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.automl.library import Trainings
from app.components import ids, links
from app.corpus.library import PassNotFoundError
from app.figures.theme import LIGHT, THEMES
from app.pages.experts import checkpoints, explained, parts
from app.pages.experts.address import Asked
from app.pages.experts.passes import facts, form, none_yet
from app.pages.experts.views import (
    View,
    card_words,
    labels_drawn,
    more_words,
    opened,
    similarity_drawn,
    still_there,
    token_found,
    two_drawn,
)

_ID = re.compile(r"[0-9a-f]{32}")


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; the address names the pass `run`, one `with` it, and what is looked at.

    Without a pass the newest is opened.
    """

    def page(**given: Any) -> html.Div:
        asked = Asked.of(links.once(given))
        library = analyst.library
        passes = library.passes()
        if not passes and not asked.run:
            return _page([none_yet()], asked, None)
        if not asked.run:
            asked = replace(asked, run=passes[0].about.id)
        try:
            view = opened(library, asked)
        except PassNotFoundError:
            said = _not_here(asked.run)
        except FileNotFoundError:
            said = ["This pass has counted nothing yet. Open the page again in a moment."]
        else:
            # It may have been named by its run.
            asked = replace(asked, run=view.found.about.id)
            head = [form(passes, asked), facts(view.found, view.atlas.counts)]
            return _page(head, asked, view)
        problem = html.P(said, className="problem", role="alert")
        offered = [form(passes, asked)] if passes else [none_yet()]
        return _page([problem, *offered], asked, None)

    return page


def _not_here(id_: str) -> list[Any]:
    """Its counts may have been removed while its run stayed."""
    words = "There is no such pass over a corpus here. It may have been removed. "
    if not _ID.fullmatch(id_):
        return [words]
    return [words, dcc.Link("Its run", href=links.to(f"/runs/{id_}")), " may still have its files."]


def _page(head: Sequence[Component], asked: Asked, view: View | None) -> html.Div:
    """Every part is always there, hidden where there is nothing to show in it."""
    data = {"run": asked.run, "with": asked.beside} if view else None
    return html.Div(
        [
            html.H1("Experts"),
            *head,
            parts.choices(asked, view),
            parts.labels(view),
            explained.part(view),
            parts.beside(view is not None and bool(asked.beside)),
            parts.experts(view),
            parts.token(asked, view),
            parts.similarity(view),
            checkpoints.part(view),
            dcc.Store(id=ids.EXPERTS_PAGE, data=data),
            dcc.Store(id=ids.EXPERTS_ASKED),
            dcc.Store(id=ids.EXPERTS_PIECE_ASKED),
            dcc.Store(id=ids.EXPERTS_THEME),
            dcc.Store(id=ids.EXPERTS_WORDS),
            dcc.Store(id=ids.EXPERTS_OPEN),
            dcc.Store(id=ids.EXPERTS_MORE_WORDS),
            dcc.Store(id=ids.EXPERTS_PIECE_WORDS),
            dcc.Store(id=ids.EXPERTS_BESIDE_WORDS),
        ],
        className="compare atlas",
    )


def register(app: Dash, analyst: Analyst, trainings: Trainings) -> None:
    """The callbacks: the browser says what is looked at, and each part is drawn for that."""
    _register_browser(app)
    checkpoints.register(app, analyst)
    explained.register(app, analyst, trainings)

    def drawn(asked: Any, draw: Callable[..., Any], places: int) -> Any:
        view = still_there(analyst.library, asked)
        if view is None:
            return no_update if places == 1 else (no_update,) * places
        return draw(view, Asked.of(asked), THEMES.get(asked.get("theme") or "", LIGHT))

    @app.callback(
        Output(ids.EXPERTS_WORDS, "data"),
        Input(ids.EXPERTS_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _cards(asked: Any) -> Any:
        return drawn(asked, lambda view, its, theme: card_words(view, its.sort, theme), 1)

    @app.callback(
        Output(ids.EXPERTS_MORE_WORDS, "data"),
        Input(ids.EXPERTS_OPEN, "data"),
        prevent_initial_call=True,
    )
    def _more(asked: Any) -> Any:
        return drawn(asked, lambda view, _, theme: more_words(view, asked.get("expert"), theme), 1)

    @app.callback(
        Output(ids.RISK, "figure"),
        Output(ids.RISK, "style"),
        Output(ids.RISK_SUMMARY, "children"),
        Output(ids.RISK_NOTE, "children"),
        Output(ids.INFORMATION, "figure"),
        Output(ids.INFORMATION, "style"),
        Input(ids.EXPERTS_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _labels(asked: Any) -> Any:
        return drawn(asked, lambda view, _, theme: labels_drawn(view, theme), 6)

    @app.callback(
        Output(ids.SIMILARITY, "figure"),
        Output(ids.SIMILARITY, "style"),
        Input(ids.EXPERTS_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _similarity(asked: Any) -> Any:
        return drawn(asked, lambda view, _, theme: similarity_drawn(view, theme), 2)

    @app.callback(
        Output(ids.EXPERTS_PIECE_WORDS, "data"),
        Output(ids.PIECE, "figure"),
        Output(ids.PIECE, "style"),
        Output(ids.PIECE_FRAME, "style"),
        Input(ids.EXPERTS_PIECE_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _token(asked: Any) -> Any:
        return drawn(asked, lambda view, its, theme: token_found(view, its.token, theme), 4)

    @app.callback(
        Output(ids.EXPERTS_BESIDE_WORDS, "data"),
        Output(ids.TWO_LOADS, "figure"),
        Output(ids.TWO_LOADS, "style"),
        Output(ids.RISK_BESIDE, "figure"),
        Output(ids.RISK_BESIDE, "style"),
        Output(ids.INFORMATION_BESIDE, "figure"),
        Output(ids.INFORMATION_BESIDE, "style"),
        Output(ids.TWO_LOADS_FRAME, "style"),
        Output(ids.TWO_LABELS_FRAME, "style"),
        Input(ids.EXPERTS_ASKED, "data"),
        prevent_initial_call=True,
    )
    def _two(asked: Any) -> Any:
        if not asked or not asked.get("with"):
            return (no_update,) * 9
        return drawn(
            asked,
            lambda view, its, theme: two_drawn(analyst.library, view, its.beside, theme),
            9,
        )


def _register_browser(app: Dash) -> None:
    """What assets/experts.js does: the address, the words, cards that open."""
    app.clientside_callback(
        ClientsideFunction("moescope", "themeNow"),
        Output(ids.EXPERTS_THEME, "data"),
        Input(ids.EXPERTS_THEME, "id"),
    )
    app.clientside_callback(
        ClientsideFunction("experts", "ask"),
        Output(ids.EXPERTS_ASKED, "data"),
        Input(ids.EXPERTS_LAYER, "value"),
        Input(ids.EXPERTS_LABEL, "value"),
        Input(ids.EXPERTS_SORT, "value"),
        Input(ids.EXPERTS_THEME, "data"),
        State(ids.EXPERTS_PAGE, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("experts", "search"),
        Output(ids.EXPERTS_PIECE_ASKED, "data"),
        Input(ids.EXPERTS_PIECE, "value"),
        Input(ids.EXPERTS_THEME, "data"),
        State(ids.EXPERTS_PAGE, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("experts", "write"),
        Input(ids.EXPERTS_WORDS, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "words"),
        Input(ids.EXPERTS_MORE_WORDS, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("moescope", "words"),
        Input(ids.EXPERTS_PIECE_WORDS, "data"),
        Input(ids.EXPERTS_BESIDE_WORDS, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("experts", "point"),
        Input(ids.RISK, "clickData"),
        prevent_initial_call=True,
    )
