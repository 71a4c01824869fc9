"""A pass over sentences, against the library's plain float32 encoder that takes them one by one;
and what a pass costs in padding and in memory as the corpus grows."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from app.corpus.batching import batches
from app.corpus.order import BATCH_TOKENS, Order
from app.corpus.reading.source import Corpus, Selection, describe
from app.corpus.running import Tell, window_tokens
from app.corpus.running import run as run_pass
from app.corpus.state import Kept
from app.routing.capture import capture
from app.routing.encoding import encode
from app.routing.loaded import LoadedModel
from app.routing.packed import can_pack
from app.settings import ModelSpec
from benchmarks.measure import Amount, Goal, Result, Unmeasured, result, seconds_of
from benchmarks.setting import (
    default_model,
    loaded_model,
    max_tokens,
    plain_model,
    standin,
)
from tests.texts import sentences

SHORTEST, LONGEST = 8, 64
# Enough to fill a window: padding is what it is in a corpus.
SENTENCES, ALONE = 1_490, 16
RUNS = 2
# Five and eight times the baseline's tokens per second.
_EXACT, _FAST = 1 / 5, 1 / 8
_DOCUMENTS, _TIMES = 500, 10
_DRAWN = 3_000
_THOUSAND = 1_000


def run() -> Iterator[Result | Amount | Unmeasured]:
    """Speed at the size of switch-base-8, exact and fast; then memory with the default model."""
    yield from _speed()
    yield from _memory()


def _speed() -> Iterator[Result | Amount | Unmeasured]:
    what, loaded = "switch-base-8's size", loaded_model(_spec(fast=False))
    drawn = _sentences(loaded)
    texts = drawn[:SENTENCES]
    alone = texts[:: SENTENCES // ALONE]
    passes = {"exact": loaded}
    if can_pack(torch.bfloat16):
        passes["fast"] = loaded_model(_spec(fast=True))
    each = _each_thousand(loaded, passes, texts, alone)
    over = f"a pass over {SENTENCES} sentences, per 1,000 tokens"
    plain = ("the library's plain float32 encoder, one by one", each["plain"])
    for mode, most in (("exact", _EXACT), ("fast", _FAST)):
        if mode not in passes:
            reason = "this processor does not compute in bfloat16"
            yield Unmeasured(f"{what}, {mode}: {over}, goal ≤ {most:.3f}×", reason)
            break
        found = result(f"{what}, {mode}: {over}", each[mode], *plain)
        yield replace(found, goal=Goal("ratio", most))
        yield Amount("  tokens per second", _THOUSAND / statistics.median(each[mode]), "/s")
    name = f"{what}, exact: {over}"
    yield result(name, each["exact"], "an analysis of each in exact mode", each["capture"])
    lengths = [len(ids) for ids in _ids(loaded, drawn)]
    yield Amount(f"  padding in windows of {len(drawn):,} sentences", 100 * _padding(lengths), "%")


def _each_thousand(
    loaded: LoadedModel,
    passes: Mapping[str, LoadedModel],
    texts: Sequence[str],
    alone: Sequence[str],
) -> dict[str, list[float]]:
    """Seconds per 1,000 tokens of each turn: the library's encoder and an analysis of each of
    `alone`, a pass over `texts` with each of the models."""

    def by_one(texts: Sequence[str]) -> dict[str, Callable[[], object]]:
        return {
            "plain": _plain(loaded, texts),
            "capture": lambda: [capture(loaded, text, max_tokens()) for text in texts],
        }

    def whole(texts: Sequence[str]) -> dict[str, Callable[[], object]]:
        return {name: partial(_pass, model, texts) for name, model in passes.items()}

    for action in (by_one(alone[:2]) | whole(alone[:2])).values():
        action()
    seconds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for actions, of in ((by_one(alone), alone), (whole(texts), texts)):
            tokens = sum(map(len, _ids(loaded, of)))
            for name, action in actions.items():
                took = seconds_of(action) * _THOUSAND / tokens
                seconds.setdefault(name, []).append(took)
    return seconds


def _spec(fast: bool) -> ModelSpec:
    return ModelSpec("base-8@fast" if fast else "base-8", str(standin()), local=True, fast=fast)


def _sentences(loaded: LoadedModel) -> list[str]:
    """Real sentences of 8 to 64 tokens."""
    drawn = sentences(_DRAWN)
    lengths = [len(ids) for ids in _ids(loaded, drawn)]
    return [
        text for text, length in zip(drawn, lengths, strict=True) if SHORTEST <= length <= LONGEST
    ]


def _ids(loaded: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    return [encode(loaded, text, max_tokens()).ids for text in texts]


def _plain(loaded: LoadedModel, texts: Sequence[str]) -> Callable[[], object]:
    encoder: Any = plain_model(_spec(fast=False)).get_encoder()
    ready = [torch.tensor([ids]) for ids in _ids(loaded, texts)]

    def forward() -> None:
        with torch.inference_mode():
            for ids in ready:
                encoder(input_ids=ids, attention_mask=torch.ones_like(ids))

    return forward


def _pass(loaded: LoadedModel, texts: Sequence[str], tell: Tell = lambda _progress: None) -> None:
    """From a file on the disk to counts on the disk."""
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as room:
        file = Path(room) / "sentences.txt"
        file.write_text("\n".join(texts), encoding="utf-8")
        selection = Selection.guess(describe(file))
        order = Order((str(file),), selection.text, (), loaded.identity.id, max_tokens())
        run_pass(loaded, Corpus([file], selection), order, Kept(Path(room) / "pass"), tell)


def _padding(lengths: Sequence[int]) -> float:
    """The share of padding among all that goes through the model, by full windows."""
    tokens = computed = 0
    window: list[int] = []
    for length in lengths:
        window.append(length)
        if sum(window) >= window_tokens(BATCH_TOKENS):
            groups = batches(window, BATCH_TOKENS)
            computed += sum(len(group) * window[group[0]] for group in groups)
            tokens += sum(window)
            window = []
    return 1 - tokens / computed


def _memory() -> Iterator[Amount]:
    loaded, process = default_model(), psutil.Process()
    texts = _sentences(loaded)[:_DOCUMENTS]
    _pass(loaded, texts[:1])

    def highest(times: int) -> float:
        found = [process.memory_info().rss]
        _pass(loaded, texts * times, lambda _progress: found.append(process.memory_info().rss))
        return max(found) / 1e6

    once, more = highest(1), highest(_TIMES)
    name = f"bundled model: memory more over {_DOCUMENTS * _TIMES:,} documents than {_DOCUMENTS:,}"
    yield Amount(name, more - once, "MB")
