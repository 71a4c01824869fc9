"""``python -m training``: text, tokenizer, model and card, from nothing.

Without a step all of them run in order; each skips what is there already, and training goes on
from its checkpoint. The steps: ``data``, ``train``, ``export``, ``card``.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training import card, corpus, data, evaluate, export, sources, tokenizer, train

HERE = Path(__file__).parent
MODEL = HERE.parent / "app" / "models" / "switch-mini-8"
HELD_OUT = HERE / "heldout.jsonl.gz"
UNIGRAM = HERE / "unigram.json.gz"
#: Text for the tokenizer, in characters per domain; even, so that no language is left out.
TOKENIZER_CHARS = 1_200_000
UNIGRAM_DOCUMENTS = 1000


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", nargs="?", default="all",
                        choices=("all", "data", "train", "export", "card"))  # fmt: skip
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="for downloads and state")
    parser.add_argument("--to", type=Path, default=MODEL, help="folder of the finished model")
    parser.add_argument("--minutes", type=float, default=0.0,
                        help="training time (default: 75 on a CPU, 20 on a GPU)")  # fmt: skip
    parser.add_argument("--batch-tokens", type=int, default=0,
                        help="(default: 4096 on a CPU, 32768 on a GPU)")  # fmt: skip
    parser.add_argument("--learning-rate", type=float, default=train.Options.learning_rate)
    parser.add_argument("--auxiliary", type=float, default=train.Options.auxiliary,
                        help="weight of the balancing loss, may change at a resume")  # fmt: skip
    parser.add_argument("--router-factor", type=float, default=train.Options.router_factor,
                        help="what the routers' rate is multiplied with, likewise")  # fmt: skip
    parser.add_argument("--seed", type=int, default=train.Options.seed)
    parser.add_argument("--threads", type=int, default=0, help="(default: as many as there are)")
    parser.add_argument("--check", action="store_true",
                        help="with card: recompute, compare, exit 1 on a difference")  # fmt: skip
    return parser.parse_args(arguments)


def prepare(work: Path) -> tuple[list[corpus.Document], Tokenizer]:
    """Training documents and tokenizer, made unless they are in ``work`` already.

    Rewrites the committed held-out sample and unigram counts when it makes them.
    """
    work.mkdir(parents=True, exist_ok=True)
    texts, pieces = work / "train.jsonl.gz", work / "tokenizer.json"
    if not texts.exists():
        documents, held_out = corpus.build(sources.fetch(work))
        corpus.save(held_out, HELD_OUT)
        corpus.save(documents, texts)
    documents = corpus.load(texts)
    if not pieces.exists():
        trained = tokenizer.train(_even(documents))
        counts = evaluate.unigram_counts(documents, trained, UNIGRAM_DOCUMENTS)
        evaluate.save_counts(counts, UNIGRAM)
        trained.save(str(pieces))
    return documents, Tokenizer.from_file(str(pieces))


def _even(documents: list[corpus.Document]) -> list[str]:
    taken = [0] * len(sources.DOMAINS)
    texts = []
    for document in documents:
        if taken[document.domain] < TOKENIZER_CHARS:
            taken[document.domain] += len(document.text)
            texts.append(document.text)
    return texts


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen step; returns the exit code."""
    chosen = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    if chosen.step in ("all", "data", "train"):
        documents, pieces = prepare(chosen.work)
        if chosen.step != "data":
            gpu = torch.cuda.is_available()
            options = train.Options(
                minutes=chosen.minutes or (20.0 if gpu else 75.0),
                batch_tokens=chosen.batch_tokens or (32_768 if gpu else 4096),
                learning_rate=chosen.learning_rate, auxiliary=chosen.auxiliary,
                router_factor=chosen.router_factor, seed=chosen.seed,
            )  # fmt: skip
            if not train.run(options, chosen.work, data.Stream(documents, pieces)):
                return 1  # stopped by a signal; the next call goes on
    if chosen.step in ("all", "export"):
        pieces = Tokenizer.from_file(str(chosen.work / "tokenizer.json"))
        export.export(chosen.work / "checkpoint.pt", pieces, chosen.to)
    if chosen.step in ("all", "card"):
        return card.main(chosen.to, HELD_OUT, UNIGRAM, check=chosen.check)
    return 0


if __name__ == "__main__":
    sys.exit(main())
