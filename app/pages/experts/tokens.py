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

MOST_MATCHES = 12
# How vocabularies write a space.
_SPACES = str.maketrans({"▁": " ", "Ġ": " "})


@dataclass(frozen=True)
class Match:
    """A piece of the vocabulary and how often the corpus has it."""

    token_id: int
    piece: str
    n: int


def matches(counts: Counts, pieces: Mapping[int, str], text: str) -> list[Match]:
    """The pieces that hold a text, at most 12: seen ones first, then the most alike, then the
    most frequent. A text in «» names one piece, which comes before all."""
    wanted = _bare(text)
    exact = wanted if text.strip() != wanted else None
    found = []
    for token_id, piece in pieces.items():
        rank = _rank(piece, wanted)
        if wanted and rank is not None:
            n = int(counts.token_table.tokens[token_id])
            found.append(((piece != exact, n == 0, rank, -n), Match(token_id, piece, n)))
    return [match for _, match in sorted(found, key=lambda each: each[0])[:MOST_MATCHES]]


def _bare(text: str) -> str:
    """A text without the «» that name a whole piece."""
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == "«" and text[-1] == "»" else text


def _rank(piece: str, wanted: str) -> int | None:
    """0 for the same word, 1 but for capitals, 2 where it begins so, 3 where it holds it."""
    word = piece.translate(_SPACES).strip()
    if wanted in (word, piece):
        return 0
    word, wanted = word.casefold(), wanted.casefold()
    if word == wanted:
        return 1
    if word.startswith(wanted):
        return 2
    return 3 if wanted in word else None


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
                [html.Code(plain_label(each.piece, 24)), f" {each.n:,}"],
                type="button",
                className="tag",
                **attributes(data_piece=each.piece, aria_pressed=str(each is found[0]).lower()),
            )
            for each in found
        ],
        className="matches",
    )


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
