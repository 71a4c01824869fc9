"""Windows of text and T5's span corruption.

A training batch holds windows of one length, so nothing is padded and no padding takes expert
capacity. Windows begin where a person's text begins (mostly at a sentence) and are tokenized from
there, so the first piece carries its ``▁`` as it does for typed text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from training import sources, tokenizer
from training.corpus import Document

Ids = NDArray[np.int64]

#: T5's share of masked tokens; held-out text is measured with it.
NOISE_DENSITY = 0.15
#: In training up to this share, the same for a whole batch: the encoder costs most of the time,
#: whether it asks for 19 tokens of a window or for 45, and only answers teach.
TRAINING_DENSITY = 0.35
MEAN_SPAN = 3.0
WINDOW = 128
#: Most windows are full; the others are as long as a sentence that somebody types.
SHORT_SHARE = 0.3
SHORT_RANGE = (6, 64)
LOWERCASE_SHARE = 0.08

_SENTENCE = re.compile(r"\n+\s*|[.!?…。！？][\"”»’)]?\s*")


def _segment(total: int, parts: int, rng: np.random.Generator) -> list[int]:
    """``total`` split at random into ``parts`` positive lengths."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else ()
    edges = [0, *map(int, cuts), total]
    return [right - left for left, right in itertools.pairwise(edges)]


def corrupt(
    ids: Sequence[int], rng: np.random.Generator, density: float = NOISE_DENSITY
) -> tuple[list[int], list[int]]:
    """T5's span corruption (Raffel et al. 2020, §3.1.4): 15 % of the tokens, mean span 3.

    Returns (input, target). Each masked span is one sentinel in the input; the target gives every
    sentinel followed by what it hides. Both end with ``</s>``. How long they are depends on the
    number of ids and the density alone, not on the draw.
    """
    noise = min(max(round(len(ids) * density), 1), len(ids) - 1)
    spans = max(1, min(round(noise / MEAN_SPAN), len(ids) - noise))
    hidden = _segment(noise, spans, rng)
    kept = _segment(len(ids) - noise, spans, rng)
    # T5 always starts with text; half of ours start with a gap, so that first words get masked.
    gap_first = bool(rng.random() < 0.5)
    source: list[int] = []
    target: list[int] = []
    at = 0
    for index, (keep, hide) in enumerate(zip(kept, hidden, strict=True)):
        mark = tokenizer.sentinel(index)
        if gap_first:
            target += [mark, *ids[at : at + hide]]
            source += [mark, *ids[at + hide : at + hide + keep]]
        else:
            source += [*ids[at : at + keep], mark]
            target += [mark, *ids[at + keep : at + keep + hide]]
        at += keep + hide
    return [*source, tokenizer.EOS], [*target, tokenizer.EOS]


@dataclass(frozen=True)
class Batch:
    """``source`` [batch, S] and ``target`` [batch, T] ids, ``domain`` [batch]."""

    source: Tensor
    target: Tensor
    domain: Tensor

    @property
    def decoder_input(self) -> Tensor:
        """The target shifted right behind ``<pad>``, T5's start token."""
        start = torch.full_like(self.target[:, :1], tokenizer.PAD)
        return torch.cat([start, self.target[:, :-1]], 1)


class Stream:
    """Endless random batches from the training documents."""

    def __init__(self, documents: list[Document], pieces: Tokenizer) -> None:
        self._tokenizer = pieces
        self._texts: list[str] = []
        self._starts: list[Ids] = []
        for domain in range(len(sources.DOMAINS)):
            text = "\n".join(d.text for d in documents if d.domain == domain)
            starts = [match.end() for match in _SENTENCE.finditer(text)]
            self._texts.append(text)
            self._starts.append(np.asarray(starts, dtype=np.int64))
        weights = np.asarray([sources.WEIGHTS[name] for name in sources.DOMAINS])
        self._shares = weights / weights.sum()

    def _excerpt(self, domain: int, length: int, rng: np.random.Generator) -> str:
        text, starts = self._texts[domain], self._starts[domain]
        reach = 12 * length + 200  # more characters than ``length`` tokens have, nearly always
        if rng.random() < 0.75:
            start = int(starts[rng.integers(len(starts))])
        else:
            start = text.find(" ", int(rng.integers(len(text) - reach))) + 1
        excerpt = text[start : start + reach]
        return excerpt.lower() if rng.random() < LOWERCASE_SHARE else excerpt

    def windows(
        self, count: int, length: int, rng: np.random.Generator
    ) -> list[tuple[int, list[int]]]:
        """``count`` pairs of domain and exactly ``length`` ids."""
        found: list[tuple[int, list[int]]] = []
        while len(found) < count:
            domains = rng.choice(len(self._shares), count - len(found), p=self._shares)
            texts = [self._excerpt(int(d), length, rng) for d in domains]
            for domain, coded in zip(
                domains, self._tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
            ):
                if len(coded.ids) >= length:
                    found.append((int(domain), coded.ids[:length]))
        return found

    def batch(self, tokens: int, rng: np.random.Generator) -> Batch:
        """About ``tokens`` tokens: windows of one length, drawn anew for every batch."""
        length = WINDOW
        if rng.random() < SHORT_SHARE:
            low, high = np.log(SHORT_RANGE)
            length = round(float(np.exp(rng.uniform(low, high))))
        # Short windows get fewer tokens per batch: their attention is cheap, their targets costly.
        count = max(1, min(tokens // length, 2 * tokens // WINDOW))
        rows = self.windows(count, length, rng)
        density = float(rng.uniform(NOISE_DENSITY, TRAINING_DENSITY))
        return collate([ids for _, ids in rows], [domain for domain, _ in rows], rng, density)


def collate(
    rows: Sequence[Sequence[int]],
    domains: list[int],
    rng: np.random.Generator,
    density: float = NOISE_DENSITY,
) -> Batch:
    """Corrupt rows of one length into a batch without padding."""
    pairs = [corrupt(ids, rng, density) for ids in rows]
    return Batch(
        torch.tensor([source for source, _ in pairs]),
        torch.tensor([target for _, target in pairs]),
        torch.tensor(domains),
    )
