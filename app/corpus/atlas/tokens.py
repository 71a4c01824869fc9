"""Which tokens an expert takes, and how much a token's expert depends on its context."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.corpus.counting.counts import Counts
from app.corpus.counting.layout import Floats, Ints
from app.corpus.counting.ratios import ratio
from app.routing.metrics import entropy_bits


@dataclass(frozen=True)
class TopToken:
    """A token that an expert prefers: `count` of its `total` occurrences went to the expert."""

    token_id: int
    count: int
    total: int
    pmi: float


@dataclass(frozen=True)
class TokenShares:
    """The tokens that one layer saw: ids int64 [T], counts int64 [T, E] by expert."""

    token_ids: Ints
    counts: Ints

    @cached_property
    def information(self) -> Floats:
        """`pointwise_information` of the counts, float64 [T, E]."""
        return pointwise_information(self.counts)


def tokens_of_layer(counts: Counts, layer: int, specials: bool = False) -> TokenShares:
    """How often each token seen went to each expert of a layer, with or without specials."""
    part = counts.layout.part(layer)
    token_ids, slots, numbers = counts.token_table.entries()
    mine = (slots >= part.start) & (slots < part.stop)
    if not specials:
        mine &= ~counts.token_table.special[token_ids]
    ids, places = np.unique(token_ids[mine], return_inverse=True)
    found = np.zeros((len(ids), part.stop - part.start), dtype=np.int64)
    found[places, slots[mine] - part.start] = numbers[mine]
    return TokenShares(ids, found)


def pointwise_information(counts: Ints) -> Floats:
    """log2 p(expert | token) / p(expert) of counts [T, E], float64 [T, E], −∞ for none.

    Pointwise mutual information (Church and Hanks 1990, §3). NaN for an expert without tokens.
    """
    lift = ratio(
        ratio(counts, counts.sum(axis=1, keepdims=True)), ratio(counts.sum(axis=0), counts.sum())
    )
    out: Floats = np.where(lift == 0, -np.inf, np.nan)
    found: Floats = np.log2(lift, out=out, where=lift > 0)
    return found


def top_tokens(
    counts: Counts,
    layer: int,
    expert: int,
    minimum: int = 5,
    most: int = 20,
    specials: bool = False,
    table: TokenShares | None = None,
) -> tuple[TopToken, ...]:
    """The tokens with the highest pointwise mutual information with an expert, at most `most`.

    Of those that went to it `minimum` times, since rare tokens have high ones by chance; ties
    go to the more frequent. Without `specials`, tokens that stand for no text count nowhere.
    `table`: what `tokens_of_layer` gives for this layer, where it is at hand.
    """
    counts.layout.slot(layer, expert)
    table = table or tokens_of_layer(counts, layer, specials)
    its, pmi = table.counts[:, expert], table.information[:, expert]
    total = counts.token_table.tokens[table.token_ids]
    order = np.lexsort((table.token_ids, -its, -pmi))
    chosen = order[its[order] >= max(minimum, 1)][:most]
    return tuple(
        TopToken(int(table.token_ids[i]), int(its[i]), int(total[i]), float(pmi[i])) for i in chosen
    )


def expert_similarity(counts: Counts, layer: int) -> Floats:
    """Jensen–Shannon distance between the experts' token distributions, float64 [E, E].

    √ of the divergence in bits (Lin 1991; a metric: Endres and Schindelin 2003), in [0, 1]: 0
    for the same tokens, 1 for none in common. NaN for an expert without tokens. Special tokens
    count; few tokens raise it.
    """
    table = tokens_of_layer(counts, layer, specials=True)
    active = np.flatnonzero(table.counts.sum(axis=0))
    found: Floats = np.full((table.counts.shape[1],) * 2, np.nan)
    taken = table.counts[:, active]
    found[np.ix_(active, active)] = np.sqrt(_divergences(ratio(taken, taken.sum(axis=0))))
    return found


def _divergences(p: Floats) -> Floats:
    """`jensen_shannon` of all pairs of distributions [T, A], float64 [A, A].

    A token that only one of two has adds half its probability, so that logarithms are taken
    only of the tokens that one distribution has: few, where there are many distributions.
    """
    only_other = (p == 0).T.astype(np.float64) @ p
    found: Floats = np.zeros((p.shape[1],) * 2)
    for place in range(p.shape[1]):
        rows = p[:, place] > 0
        mine, others = p[rows, place, None], p[rows, place:]
        total = mine + others
        terms = mine * np.log2(2 * mine / total)
        terms += others * np.log2(np.where(others > 0, 2 * others / total, 1))
        bits = (terms.sum(axis=0) + only_other[place, place:]) / 2
        found[place, place:] = found[place:, place] = np.clip(bits, 0.0, 1.0)
    return found


@dataclass(frozen=True)
class TokenRouting:
    """Where `n` occurrences of a token went: by layer float64 [E], summing to 1, NaN for none."""

    shares: tuple[Floats, ...]
    n: int


def token_routing(counts: Counts, token_id: int) -> TokenRouting:
    """P(expert | token) over the assignments of one token, for each layer.

    ValueError for a token outside the vocabulary.
    """
    found = counts.token_table.of_token(token_id)
    layers = [found[counts.layout.part(layer)] for layer in range(len(counts.shape))]
    shares = tuple(ratio(its, its.sum()) for its in layers)
    return TokenRouting(shares, int(counts.token_table.tokens[token_id]))


@dataclass(frozen=True)
class ContextSensitivity:
    """By layer, float64 [L]: both 0 for a token that always goes to the same experts."""

    away: Floats
    entropy: Floats
    n: int


def context_sensitivity(counts: Counts, token_id: int) -> ContextSensitivity:
    """How much a token's experts vary over the contexts that it has in this corpus, no others.

    `away`: the share of assignments away from its k most frequent experts, 1 − max p for
    k = 1. `entropy`: (H(p) − log2 k) / (log2 E − log2 k), H(p) / log2 E for k = 1, in [0, 1]. Few
    occurrences make both too low. NaN for a token that is not in the corpus and for k = E.
    """
    routing = token_routing(counts, token_id)
    away, entropy = np.full((2, len(counts.shape)), np.nan)
    for index, (shape, p) in enumerate(zip(counts.shape, routing.shares, strict=True)):
        k, experts = shape.top_k, shape.num_experts
        if routing.n and k < experts:
            away[index] = max(1 - float(np.sort(p)[-k:].sum()), 0.0)
            bits = (float(entropy_bits(p)) - np.log2(k)) / np.log2(experts / k)
            entropy[index] = min(max(bits, 0.0), 1.0)
    return ContextSensitivity(away, entropy, routing.n)
