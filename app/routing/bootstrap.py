"""Confidence intervals of a layer's measures: percentile bootstrap over sentences.

Tokens of one sentence depend on each other, so whole sentences are drawn, not tokens (a
cluster bootstrap: Davison and Hinkley 1997, §3.8; percentiles: Efron 1979, 1981).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.routing.metrics import distribution, entropy_bits
from app.routing.spelling import spelt
from app.routing.trace import RouterLayer

Floats = NDArray[np.float64]
Sentences = NDArray[np.int64]

# Means over tokens and functions of the load; `intervals` says which measures are not here.
NAMES = (
    "load_cv",
    "load_gini",
    "max_violation",
    "load_entropy",
    "load_entropy_bits",
    "token_entropy",
    "token_entropy_bits",
    "marginal_entropy",
    "marginal_entropy_bits",
    "token_information",
    "auxiliary_loss",
    "z_loss",
    "confidence",
    "margin",
    "drop_rate",
)


def _any(characters: Iterable[str]) -> str:
    both = {spelling for each in characters for spelling in (each, spelt(each))}
    return f"(?:{'|'.join(re.escape(spelling) for spelling in sorted(both))})"


_STOP = _any(".!?…。！？")
_WIDE_STOP = _any("。！？")
_CLOSER = _any("\"'”’»›)]}」』）】")
_END = re.compile(f"{_STOP}{_CLOSER}*$")
_WIDE_END = re.compile(f"{_WIDE_STOP}{_CLOSER}*$")
_CLOSERS = re.compile(f"{_CLOSER}+$")
_NEWLINE = re.compile("[\nĊ]|<0x0A>")
# Marks of a word start; kana, ideographs and Hangul; or how a byte-level vocabulary begins one.
_WORD_START = re.compile(
    "[▁Ġ\\s]|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|[ã-í][Ģ-Ń¡-¬®-¿]"
)
_SPECIAL = re.compile("(?:<(?!0x[0-9A-Fa-f]{2}>)[^<>\\s]+>|\\[[A-Z]+\\])$")
_BLANK = re.compile("[▁Ġ\\s]*$")


def sentence_ids(tokens: Sequence[str]) -> Sentences:
    """The sentence of each token, int64 [T] from 0 up, by rule from the tokenizer's pieces.

    A sentence ends after a piece that ends with . ! ? … and perhaps closing quotes or brackets,
    when the next piece starts a word: with ▁, Ġ or white space, in a CJK script, or a special
    token. It always ends after 。！？ and after a newline. Special tokens at the end belong to
    the last sentence. A heuristic: «3.14» stays whole, but «e.g. this» and «Dr. Who» are split,
    and so is text wrapped into lines. WordPiece does not mark word starts: there only newlines,
    CJK and special tokens split.
    """
    ids = np.zeros(len(tokens), dtype=np.int64)
    text_end = len(tokens)
    while text_end and _SPECIAL.match(tokens[text_end - 1]):
        text_end -= 1
    current = 0
    # Of the sentence so far: has it text, may it end here, must it?
    text = ended = certain = False
    for index, piece in enumerate(tokens):
        newline, special = bool(_NEWLINE.search(piece)), bool(_SPECIAL.match(piece))
        closing = newline or bool(_CLOSERS.match(piece))
        starts = certain or special or bool(_WORD_START.match(piece))
        if text and ended and starts and not closing and index < text_end:
            current += 1
            text = ended = certain = False
        ids[index] = current
        if newline or _END.search(piece):
            ended, certain = True, certain or newline or bool(_WIDE_END.search(piece))
        elif not closing:
            ended = certain = False
        text = text or not (newline or special or _BLANK.match(piece))
    return ids


def intervals(
    layer: RouterLayer,
    sentences: NDArray[np.integer],
    names: Sequence[str] = NAMES,
    resamples: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of each named measure of `layer_metrics`, both ends, by name.

    `sentences` int [T] (`sentence_ids`). As many sentences as there are get drawn with
    replacement, their tokens put together, and the measure computed, `resamples` times; one
    seed draws the same sentences for every layer. Empty for a single sentence: nothing says
    how much another would differ. A measure that is undefined in a resample is left out.
    Not in `NAMES`: repetition, because it depends on neighbouring tokens; the number of active
    experts, because a resample can lose experts but never find one; the count of dropped
    tokens, because resamples differ in length. ValueError for another name.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        raise ValueError(f"no interval for {', '.join(unknown)}")
    if len(sentences) != len(layer.experts):
        raise ValueError(f"{len(sentences)} sentence ids for {len(layer.experts)} tokens")
    member = np.unique(sentences, return_inverse=True)[1]
    size = int(member.max()) + 1
    if size < 2:
        return {}
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)
    values = _measures(layer, member, drawn)
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = {name: np.quantile(values[name], ends) for name in names}
    return {
        name: (float(low), float(high))
        for name, (low, high) in found.items()
        if not np.isnan(low + high)
    }


def _measures(layer: RouterLayer, member: Sentences, drawn: Floats) -> dict[str, Floats]:
    """Each of `NAMES`, float64 [R], for R resamples; `drawn` [R, S] counts the sentences' draws.

    Every measure follows from sums over tokens, so sums by sentence are enough.
    """
    n, k = layer.num_experts, layer.top_k
    chosen = np.zeros((len(member), n))
    np.put_along_axis(chosen, layer.experts, 1 / k, axis=1)
    load = _means(chosen, member, drawn)
    p = distribution(layer.probabilities)
    known = ~np.isnan(p[:, 0])
    p, logits = p[known], layer.logits.astype(np.float64)
    ranked = np.sort(p, axis=1)
    ahead = ranked[:, -1] - ranked[:, -2] if n > 1 else np.full(len(p), np.nan)
    of_known = np.column_stack((p, entropy_bits(p), ranked[:, -1], ahead))
    found = _means(of_known, member[known], drawn)
    marginal, (token_bits, confident, lead) = found[:, :n], found[:, n:].T
    of_all = np.column_stack((np.logaddexp.reduce(logits, axis=1) ** 2, layer.dropped))
    z, dropped = _means(of_all, member, drawn).T
    load_bits, marginal_bits = entropy_bits(load), entropy_bits(marginal)
    most = np.log2(n) if n > 1 else np.nan
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return {
        "load_cv": load.std(axis=1) / load.mean(axis=1),
        "load_gini": np.maximum(np.sort(load, axis=1) @ ranks / n, 0.0),
        "max_violation": np.maximum(n * load.max(axis=1) - 1, 0.0),
        "load_entropy": load_bits / most,
        "load_entropy_bits": load_bits,
        "token_entropy": token_bits / most,
        "token_entropy_bits": token_bits,
        "marginal_entropy": marginal_bits / most,
        "marginal_entropy_bits": marginal_bits,
        "token_information": np.maximum(marginal_bits - token_bits, 0.0),
        "auxiliary_loss": n * (load * marginal).sum(axis=1),
        "z_loss": z,
        "confidence": confident,
        "margin": lead,
        "drop_rate": dropped,
    }


def _means(per_token: Floats, member: Sentences, drawn: Floats) -> Floats:
    """Mean of [T, C] over the tokens of each resample, [R, C]; NaN for one without tokens."""
    sums = np.zeros((drawn.shape[1], per_token.shape[1]))
    np.add.at(sums, member, per_token)
    tokens = drawn @ np.bincount(member, minlength=drawn.shape[1])[:, None]
    out: Floats = np.full((len(drawn), per_token.shape[1]), np.nan)
    return np.divide(drawn @ sums, tokens, out=out, where=tokens > 0)
