"""Held-out measurements: loss against unigram baselines, load and domain information per layer.

Everything follows from the weights and the committed sample. Each document gives one window, its
first 128 tokens; its mask is drawn from the hash of its text. Windows are run in batches of equal
length, so there is no padding to mask; expert capacity is the one in ``config.json``.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training import model as architecture
from training import sources, tokenizer
from training.corpus import Document
from training.data import WINDOW, Batch, collate

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

PERMUTATIONS = 500
SHORT = 16
BATCH = 40


def _rng(document: Document) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(document.digest[8:16], "big"))


def windows(documents: Iterable[Document], pieces: Tokenizer, length: int) -> list[list[int]]:
    """The first ``length`` ids of every document (fewer where the document is shorter)."""
    coded = pieces.encode_batch([d.text for d in documents], add_special_tokens=False)
    return [item.ids[:length] for item in coded]


def unigram_counts(documents: list[Document], pieces: Tokenizer, per_domain: int) -> Counts:
    """How often each id is a target in training text, [vocabulary], every domain alike."""
    counts = np.zeros(tokenizer.VOCABULARY, dtype=np.int64)
    for domain in range(len(sources.DOMAINS)):
        chosen = [d for d in documents if d.domain == domain][:per_domain]
        for document, ids in zip(chosen, windows(chosen, pieces, WINDOW), strict=True):
            target = collate([ids], [domain], _rng(document)).target
            counts += np.bincount(target.flatten().numpy(), minlength=len(counts))
    return counts


def save_counts(counts: Counts, path: Path) -> None:
    """Compressed JSON list of integers."""
    path.write_bytes(gzip.compress(json.dumps(counts.tolist()).encode(), 9, mtime=0))


def load_counts(path: Path) -> Counts:
    """What ``save_counts`` wrote."""
    return np.asarray(json.loads(gzip.decompress(path.read_bytes())), dtype=np.int64)


def information(table: Floats) -> Floats:
    """Plug-in mutual information in bits of counts [..., domains, experts]."""
    joint = table / table.sum((-2, -1), keepdims=True)
    product = joint.sum(-1, keepdims=True) * joint.sum(-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0, joint * np.log2(joint / product), 0.0)
    result: Floats = terms.sum((-2, -1))
    return result


def information_with_null(counts: Floats, labels: Counts, seed: int = 0) -> tuple[float, Floats]:
    """I(domain; expert) and what it would be by chance.

    ``counts`` [documents, experts] tokens, ``labels`` [documents]. The null permutes the labels
    over whole documents: tokens of one document are alike, so permuting single tokens would make
    chance look smaller than it is.
    """
    rng = np.random.default_rng(seed)
    indicator = np.eye(len(sources.DOMAINS))[labels]
    observed = float(information(indicator.T @ counts))
    null = [
        float(information(indicator[rng.permutation(len(labels))].T @ counts))
        for _ in range(PERMUTATIONS)
    ]
    return observed, np.asarray(null)


def _grouped(rows: list[list[int]]) -> Iterable[list[int]]:
    """Indices of rows of equal length, at most ``BATCH`` at a time."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(rows):
        groups[len(ids)].append(index)
    for length in sorted(groups):
        for start in range(0, len(groups[length]), BATCH):
            yield groups[length][start : start + BATCH]


class _Routing:
    """Tokens per document and expert, and dropped tokens, per router layer."""

    def __init__(self, documents: int, experts: int) -> None:
        self._shape = (documents, experts)
        self.counts: dict[str, Floats] = {}
        self.dropped: dict[str, int] = defaultdict(int)

    def add(self, indices: list[int], routers: architecture.RouterLog, stack: str) -> None:
        for name, logits in routers.logits.items():
            if not name.startswith(stack):
                continue
            table = self.counts.setdefault(name, np.zeros(self._shape))
            first = logits.argmax(-1)
            for row, index in enumerate(indices):
                table[index] += np.bincount(first[row].numpy(), minlength=self._shape[1])
            self.dropped[name] += int((~routers.kept[name]).sum())

    def report(self, labels: Counts) -> list[dict[str, Any]]:
        layers = []
        for name, table in self.counts.items():
            observed, null = information_with_null(table, labels)
            total = table.sum()
            by_domain = np.stack([table[labels == d].sum(0) for d in range(len(sources.DOMAINS))])
            layers.append({
                "layer": name, "tokens": int(total), "load": (table.sum(0) / total).tolist(),
                "dropped": self.dropped[name] / total, "information_bits": observed,
                "null_mean_bits": float(null.mean()),
                "null_95_bits": float(np.quantile(null, 0.95)),
                "load_by_domain": (by_domain / by_domain.sum(1, keepdims=True)).tolist(),
            })  # fmt: skip
        return layers


@torch.inference_mode()
def measure(
    model: architecture.Model, pieces: Tokenizer, documents: list[Document], unigram: Counts
) -> dict[str, Any]:
    """All numbers of the card."""
    model.eval()
    labels = np.asarray([d.domain for d in documents])
    rows = windows(documents, pieces, WINDOW)
    routing = _Routing(len(documents), model.config.num_experts)
    short = _Routing(len(documents), model.config.num_experts)
    nll: list[list[float]] = [[] for _ in documents]
    targets: list[list[int]] = [[] for _ in documents]
    with architecture.RouterLog(model) as routers:
        for indices in _grouped(rows):
            batch = _batch(indices, rows, documents)
            output = model(input_ids=batch.source, decoder_input_ids=batch.decoder_input)
            routing.add(indices, routers, "decoder")
            scores = output.logits.float().log_softmax(-1)
            chosen = -scores.gather(-1, batch.target[..., None]).squeeze(-1)
            for row, index in enumerate(indices):
                nll[index] = chosen[row].tolist()
                targets[index] = batch.target[row].tolist()
            # The routing of the encoder is taken on the text as it stands, without a mask.
            _encode(model, [rows[i] for i in indices])
            routing.add(indices, routers, "encoder")
            _encode(model, [rows[i][:SHORT] for i in indices])
            short.add(indices, routers, "encoder")
    layers = routing.report(labels)
    layers.sort(key=lambda layer: (layer["layer"].startswith("decoder"), layer["layer"]))
    return {
        "documents": len(documents), "permutations": PERMUTATIONS, "short_tokens": SHORT,
        "loss": _losses(nll, targets, labels, unigram), "layers": layers,
        "short_layers": sorted(short.report(labels), key=lambda layer: layer["layer"]),
    }  # fmt: skip


def _batch(indices: list[int], rows: list[list[int]], documents: list[Document]) -> Batch:
    batches = [collate([rows[i]], [documents[i].domain], _rng(documents[i])) for i in indices]
    return Batch(
        torch.cat([b.source for b in batches]),
        torch.cat([b.target for b in batches]),
        torch.cat([b.domain for b in batches]),
    )


def _encode(model: architecture.Model, rows: list[list[int]]) -> None:
    model.get_encoder()(input_ids=torch.tensor([[*ids, tokenizer.EOS] for ids in rows]))


def _losses(
    nll: list[list[float]], targets: list[list[int]], labels: Counts, unigram: Counts
) -> dict[str, Any]:
    """Nats per target token: of the model, of the training unigram, of the best unigram."""
    ids = np.asarray([t for row in targets for t in row])
    model = np.asarray([value for row in nll for value in row])
    domain = np.repeat(labels, [len(row) for row in targets])
    smoothed = unigram + 1.0
    baseline = -np.log(smoothed / smoothed.sum())[ids]
    # The unigram distribution of the held-out targets themselves: no unigram can be better.
    own = np.bincount(ids, minlength=len(unigram)) / len(ids)
    best = -np.log(own[ids])
    # Sentinels and </s> stand at places that are easy to foresee; text is what is left.
    text = (ids != tokenizer.EOS) & (ids < tokenizer.sentinel(tokenizer.SENTINELS - 1))

    def row(mask: NDArray[np.bool_]) -> dict[str, Any]:
        return {
            "targets": int(mask.sum()), "model": float(model[mask].mean()),
            "unigram": float(baseline[mask].mean()), "best_unigram": float(best[mask].mean()),
        }  # fmt: skip

    return {
        "all": row(np.ones_like(text)), "text_only": row(text),
        "domains": {name: row(domain == i) for i, name in enumerate(sources.DOMAINS)},
    }  # fmt: skip
