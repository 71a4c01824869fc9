"""What each part of the page shows for what is asked; nothing here knows Dash's callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dash import html, no_update

from app.components import ids
from app.components.markup import markup
from app.components.panel import HIDDEN, VISIBLE, fitted
from app.corpus.atlas.tokens import token_routing
from app.corpus.atlases import Atlas, atlas_of
from app.corpus.library import Library, Pass, PassNotFoundError
from app.figures.atlas.information import information_figure
from app.figures.atlas.loads import two_loads_figure
from app.figures.atlas.risk import MOST_VALUES, risk_figure, risk_summary
from app.figures.atlas.similarity import similarity_figure
from app.figures.atlas.token import token_figure
from app.figures.labels import layer_label
from app.figures.theme import Theme
from app.pages.experts.address import Asked
from app.pages.experts.beside import comparable
from app.pages.experts.cards import cards, more, note
from app.pages.experts.tokens import found_words, matches


@dataclass(frozen=True)
class View:
    """A pass that is looked at: its atlas, the layer from 0, the label column or ""."""

    found: Pass
    atlas: Atlas
    layer: int
    column: str


def opened(library: Library, asked: Asked) -> View:
    """What an address looks at. Raises PassNotFoundError, or FileNotFoundError for a pass that
    has counted nothing yet."""
    found = library.find(asked.run)
    atlas = atlas_of(library, found)
    return View(found, atlas, asked.index(atlas), asked.column(atlas))


def still_there(library: Library, asked: Any) -> View | None:
    """What the browser asks for; None before it asked, and for a pass that was removed since the
    page was opened: what stands there stays."""
    if not asked:
        return None
    try:
        return opened(library, Asked.of(asked))
    except (PassNotFoundError, FileNotFoundError):
        return None


def card_words(view: View, sort: str, theme: Theme) -> dict[str, str]:
    """Cards and how to read them, as HTML by the ids of their places."""
    return {
        ids.EXPERTS_TITLE: markup(f"Experts of {layer_label(view.layer).lower()}"),
        ids.EXPERTS_NOTE: markup(note(view.atlas, view.layer, view.column)),
        ids.EXPERTS_CARDS: cards(view.atlas, view.layer, view.column, sort, theme),
    }


def more_words(view: View, expert: Any, theme: Theme) -> Any:
    """What the card of an expert unfolds; unchanged for one that is not there."""
    experts = view.atlas.counts.shape[view.layer].num_experts
    if not (isinstance(expert, int) and 0 <= expert < experts):
        return no_update
    return more(view.atlas, view.layer, view.column, expert, theme)


def labels_drawn(view: View, theme: Theme) -> tuple[Any, ...]:
    """Risk ratios with their style, in words and with a note, and information over depth."""
    if not view.column:
        return (no_update,) * 6
    profile = view.atlas.profile(view.layer, view.column)
    left_out = len(profile.values) - MOST_VALUES
    said = f"{layer_label(view.layer)}, {view.column}. "
    if left_out > 0:
        said += f"The {MOST_VALUES} values with the most tokens; the files have all. "
    found = view.atlas.information(view.column)
    return (
        *fitted(risk_figure(profile, theme)),
        risk_summary(profile, view.column),
        said,
        *fitted(information_figure(found, theme, view.layer)),
    )


def similarity_drawn(view: View, theme: Theme) -> tuple[Any, ...]:
    """The similarity map and its style."""
    return fitted(similarity_figure(view.atlas.similarity(view.layer), theme))


def token_found(view: View, text: str, theme: Theme) -> tuple[Any, ...]:
    """The words about a token, its figure, the figure's style and that of its frame."""
    counts = view.atlas.counts
    found = matches(counts, view.atlas.pieces, view.atlas.readings(), text)
    said = {ids.EXPERTS_FOUND: found_words(counts, found, text)}
    if not found or not found[0].n:
        return said, no_update, no_update, HIDDEN
    figure = token_figure(token_routing(counts, found[0].token_id), theme)
    return said, *fitted(figure), VISIBLE


def two_drawn(library: Library, view: View, beside: str, theme: Theme) -> tuple[Any, ...]:
    """Words about two passes; loads, risk ratios of b and information of both, each with its
    style, and the style of the last two's frame."""
    nothing = (no_update,) * 6
    try:
        other = library.find(beside)
        atlas = atlas_of(library, other)
    except PassNotFoundError:
        said = ["There is no such pass to stand beside this one. It may have been deleted."]
        return _said(said), *nothing, HIDDEN, HIDDEN
    except FileNotFoundError:
        return (
            _said(["The pass beside this one has counted nothing yet."]),
            *nothing,
            HIDDEN,
            HIDDEN,
        )
    said = comparable(view.found, other, view.atlas, atlas, view.layer, view.column)
    loads: tuple[Any, ...] = (no_update, no_update)
    labels: tuple[Any, ...] = (no_update,) * 4
    layer_there = view.layer < len(atlas.counts.shape)
    column_there = bool(view.column) and view.column in atlas.counts.labels
    if layer_there:
        mine = view.atlas.layer(view.layer, view.column).load
        loads = fitted(two_loads_figure(mine, atlas.layer(view.layer, view.column).load, theme))
    if layer_there and column_there:
        both = [each.information(view.column) for each in (view.atlas, atlas)]
        labels = (
            *fitted(risk_figure(atlas.profile(view.layer, view.column), theme)),
            *fitted(information_figure(both[0], theme, view.layer, both[1])),
        )
    shown = [VISIBLE if there else HIDDEN for there in (layer_there, layer_there and column_there)]
    return _said(said), *loads, *labels, *shown


def _said(sentences: list[str]) -> dict[str, str]:
    return {ids.EXPERTS_COMPARABLE: markup([html.P(sentence) for sentence in sentences])}
