"""Where does a token go: the pieces that match what is typed, and the routing of the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dash import html
from dash.development.base_component import Component

from app.components.attributes import attributes
from app.components.markup import markup
from app.corpus.atlas.tokens import ContextSensitivity, context_sensitivity
from app.corpus.counting.counts import Counts
from app.figures.labels import count_of, layer_label, number, plain_label
from app.routing.spelling import spelt

MOST_MATCHES = 12


@dataclass(frozen=True)
class Match:
    """A piece of the vocabulary, the text it stands for, and how often the corpus has it."""

    token_id: int
    piece: str
    text: str
    n: int


def matches(
    counts: Counts, pieces: Mapping[int, str], readings: Mapping[int, str], text: str
) -> list[Match]:
    """The pieces that hold a text or stand for one that does, at most 12: seen ones first, then
    the most alike, then the most frequent. A text in «» names one piece, which comes before all.
    """
    wanted = _bare(text)
    exact = wanted if text.strip() != wanted else None
    found = []
    for token_id, piece in pieces.items():
        stands_for = readings[token_id]
        rank = _rank(piece, stands_for, wanted)
        if wanted and rank is not None:
            n = int(counts.token_table.tokens[token_id])
            match = Match(token_id, piece, stands_for, n)
            found.append(((piece != exact, n == 0, rank, -n), match))
    return [match for _, match in sorted(found, key=lambda each: each[0])[:MOST_MATCHES]]


def _bare(text: str) -> str:
    """A text without the «» that name a whole piece."""
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == "«" and text[-1] == "»" else text


def _rank(piece: str, text: str, wanted: str) -> int | None:
    """0 for the same word, 1 but for capitals, 2 where it begins so, 3 where it holds it."""
    word, spelt_so = text.strip(), wanted in piece
    if wanted in (word, piece):
        return 0
    word, wanted = word.casefold(), wanted.casefold()
    if word == wanted:
        return 1
    if word.startswith(wanted):
        return 2
    return 3 if wanted in word or spelt_so else None


def found_words(counts: Counts, found: Sequence[Match], text: str) -> str:
    """The matches, and how much the first one's experts depend on its context, as HTML."""
    if not text.strip():
        return ""
    if not found:
        said = (
            f"No piece of the vocabulary holds «{_bare(text)}». The model may write it with "
            "several pieces: search for a part of it."
        )
        return markup(html.P(said, className="quiet"))
    first = found[0]
    parts: list[Component] = [_chips(found)]
    if first.n:
        parts.append(_sensitivity(counts, context_sensitivity(counts, first.token_id), first))
    else:
        parts.append(html.P("This piece is not in the corpus.", className="quiet"))
    return markup(parts)


def _chips(found: Sequence[Match]) -> Component:
    return html.Div(
        [
            html.Button(
                [html.Code(plain_label(each.piece, 24)), *_reads(each), f" {each.n:,}"],
                type="button",
                className="tag",
                **attributes(data_piece=each.piece, aria_pressed=str(each is found[0]).lower()),
            )
            for each in found
        ],
        className="matches",
    )


def _reads(match: Match) -> list[str]:
    """What a piece stands for, where that can't be seen: letters spelt as bytes."""
    if match.text.isascii() or spelt(match.text) != match.piece:
        return []
    return [f" «{plain_label(match.text, 24)}»"]


def _sensitivity(counts: Counts, found: ContextSensitivity, match: Match) -> Component:
    rows = [
        html.Tr(
            [
                html.Th(layer_label(index), scope="row"),
                html.Td(_percent(float(found.away[index]))),
                html.Td(number(float(found.entropy[index]))),
            ]
        )
        for index in range(len(counts.shape))
    ]
    head = ("layer", "away from its usual experts", "entropy, 0 to 1")
    return html.Div(
        html.Table(
            [
                html.Caption(
                    f"How much the experts of «{plain_label(match.piece, 24)}» depend on its "
                    f"context, over its {count_of(found.n, 'occurrence')} in this corpus. Few "
                    "make both too low."
                ),
                html.Thead(html.Tr([html.Th(text, scope="col") for text in head])),
                html.Tbody(rows),
            ],
            className="compared",
        ),
        className="scroller",
        tabIndex="0",
        role="group",
        **attributes(aria_label="Context sensitivity"),
    )


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"
