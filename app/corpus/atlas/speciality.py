"""A few words for what an expert does, by a fixed rule, with the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.corpus.atlas.labels import LabelProfile
from app.corpus.atlas.tables import LayerTables, layer_tables
from app.corpus.atlas.tokens import TokenShares
from app.corpus.counting.counts import Counts
from app.corpus.counting.labels import OTHER
from app.routing.spelling import reading

NONE = "no clear speciality"

_LEAST_RATIO, _LEAST_RECALL = 1.5, 0.25
_LEAST_COUNT, _LEAST_COVER, _FREQUENT = 5, 0.5, 100
_CLASSES = ("white space", "digits", "punctuation", "frequent words", "capitalised words")


def speciality(
    counts: Counts,
    layer: int,
    expert: int,
    columns: Sequence[str],
    pieces: Mapping[int, str],
    tables: LayerTables | None = None,
) -> tuple[str, tuple[str, ...]]:
    """A short label and the sentences that support it. `pieces`: the text of each token id,
    `tables`: what `layer_tables` gives for this layer, where it is at hand.

    1. In the first of `columns` that has any: the values whose risk ratio is above 1.5 at the
    lower end of its corrected interval (`label_profile`) and that are 25 % of the expert's
    labelled tokens or more. One is «mostly python» from half of the tokens on, below it «often
    python»; several are named together, the most frequent first.
    2. Else the class of tokens that covers most of the expert's assignments, if at least 50 %,
    counting only tokens that it took five times and more often than chance (`top_tokens`):
    white space, digits, punctuation, frequent words (letters, among the 100 most frequent tokens
    of the corpus) or capitalised words, the first that fits a token. Specials count nowhere.
    3. Else «no clear speciality», which is also that of an expert without tokens.
    A rule of thumb: it is corrected for one layer and column, not for the search over many.
    """
    if not counts.usage.assignments[counts.layout.slot(layer, expert)]:
        return NONE, ("No token of this corpus went to it.",)
    tables = tables or layer_tables(counts, layer, columns)
    for column in columns:
        if found := _by_label(tables.profiles[column], expert, column):
            return found
    return _by_token(counts, tables.tokens, expert, pieces) or (
        NONE,
        ("No label value and no class of tokens stands out.",),
    )


def _by_label(
    profile: LabelProfile, expert: int, column: str
) -> tuple[str, tuple[str, ...]] | None:
    recall, low, high = profile.recall[expert], profile.low[expert], profile.high[expert]
    order = np.argsort(-recall, kind="stable")
    clear = [
        i
        for i in order
        if low[i] > _LEAST_RATIO and recall[i] >= _LEAST_RECALL and profile.values[i] != OTHER
    ]
    if not clear:
        return None
    names = [profile.values[i] for i in clear]
    if len(names) > 1:
        label = f"{', '.join(names[:-1])} and {names[-1]}"
    else:
        label = f"{'mostly' if recall[clear[0]] >= 0.5 else 'often'} {names[0]}"
    return label, tuple(
        f"{recall[i]:.0%} of its tokens have {column} {profile.values[i]}, which it takes "
        f"{profile.risk_ratio[expert, i]:.1f} times as often as others "
        f"({low[i]:.1f} to {high[i]:.1f}, {profile.documents[i]} documents)."
        for i in clear
    )


def _by_token(
    counts: Counts, table: TokenShares, expert: int, pieces: Mapping[int, str]
) -> tuple[str, tuple[str, ...]] | None:
    its = table.counts[:, expert]
    if not its.sum():
        return None
    frequent = _most_frequent(counts, table)
    preferred = np.flatnonzero((table.information[:, expert] > 0) & (its >= _LEAST_COUNT))
    covered = dict.fromkeys(_CLASSES, 0)
    for i in preferred:
        token = int(table.token_ids[i])
        kind = token_class(pieces.get(token, ""), token in frequent)
        if kind:
            covered[kind] += int(its[i])
    best = max(covered, key=lambda kind: covered[kind])
    share = covered[best] / int(its.sum())
    if share < _LEAST_COVER:
        return None
    return best, (f"{share:.0%} of its tokens are {best} that it takes more often than chance.",)


def _most_frequent(counts: Counts, table: TokenShares) -> set[int]:
    totals = counts.token_table.tokens[table.token_ids]
    return set(table.token_ids[np.argsort(-totals, kind="stable")[:_FREQUENT]].tolist())


def token_class(piece: str, frequent: bool) -> str | None:
    """The class of a token by its text, None for one without."""
    text = reading(piece)
    word = text.strip()
    if not word:
        return "white space" if text else None
    if word.isdigit():
        return "digits"
    if not any(character.isalnum() for character in word):
        return "punctuation"
    if frequent and word.isalpha():
        return "frequent words"
    return "capitalised words" if word[0].isupper() else None
