"""The words of the model card: numbers in, Markdown out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = Sequence[str]


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _layer(row: dict[str, Any]) -> str:
    stack, _, block = str(row["layer"]).split(".")[:3]
    return f"{stack} {block}"


def _loss_table(loss: dict[str, Any]) -> str:
    named = [("all", loss["all"]), ("all, text only", loss["text_only"]), *loss["domains"].items()]
    rows = [
        [name, f"{r['targets']:,}", f"{r['model']:.2f}", f"{r['unigram']:.2f}",
         f"{r['best_unigram']:.2f}"]
        for name, r in named
    ]  # fmt: skip
    return _table(["domain", "targets", "model", "unigram", "best unigram"], rows)


def _information_table(layers: Sequence[dict[str, Any]]) -> str:
    rows = [
        [_layer(r), f"{r['tokens']:,}", f"{r['information_bits']:.3f}",
         f"{r['null_mean_bits']:.3f}", f"{r['null_95_bits']:.3f}", _percent(min(r["load"])),
         _percent(max(r["load"])), _percent(r["dropped"])]
        for r in layers
    ]  # fmt: skip
    head = ["layer", "tokens", "I(domain; expert) bits", "null mean", "null 95 %",
            "least load %", "most load %", "dropped %"]  # fmt: skip
    return _table(head, rows)


def _load_table(layers: Sequence[dict[str, Any]]) -> str:
    experts = range(len(layers[0]["load"]))
    rows = [[_layer(r), *(_percent(share) for share in r["load"])] for r in layers]
    return _table(["layer", *(f"expert {e}" for e in experts)], rows)


def _domain_table(row: dict[str, Any], domains: Sequence[str]) -> str:
    experts = range(len(row["load"]))
    rows = [
        [name, *(_percent(share) for share in shares)]
        for name, shares in zip(domains, row["load_by_domain"], strict=True)
    ]
    return _table([_layer(row), *(f"expert {e}" for e in experts)], rows)


def _source_list(facts: dict[str, Any]) -> str:
    lines = []
    for source in facts["sources"]:
        names = ", ".join(f"`{package}`" for package in source.packages)
        lines.append(f"- {source.text}: {source.licence} ({names})")
    return "\n".join(lines)


def render(numbers: dict[str, Any], facts: dict[str, Any]) -> str:
    """The whole card."""
    config, loss, layers = facts["config"], numbers["loss"], numbers["layers"]
    encoder = [r for r in layers if r["layer"].startswith("encoder")]
    mean_information = sum(r["information_bits"] for r in encoder) / len(encoder)
    least = min(min(r["load"]) for r in layers)
    widest = max(encoder, key=lambda r: float(r["information_bits"]))
    return f"""\
---
library_name: transformers
pipeline_tag: text2text-generation
language: [en, fr, de, es, it, pt, ru, ja, code]
---
# switch-mini-8

A small Switch Transformer, really trained, so that there is a routing to look at without a
download. `{config["architectures"][0]}` with {config["num_experts"]} experts and top-1 routing;
it loads like `google/switch-base-8`. It is a specimen: it fills short gaps in text of the kinds
below and is not meant for anything else. What it writes is neither true nor polite by design.

This page is written by `python -m training card` from the weights beside it and
`training/heldout.jsonl.gz`; `python -m training card --check` computes every number again.

## Shape

{config["num_layers"]} encoder and {config["num_decoder_layers"]} decoder blocks,
{config["num_sparse_encoder_layers"]} and {config["num_sparse_decoder_layers"]} of them sparse
(every second one), width {config["d_model"]}, {config["num_heads"]} heads of {config["d_kv"]},
feed-forward {config["d_ff"]}, vocabulary {config["vocab_size"]:,} (byte-pair with byte fallback:
nothing is unknown). {facts["parameters"] / 1e6:.1f} M parameters, {facts["megabytes"]:.0f} MB in
bfloat16 with the tokenizer. Expert capacity {config["expert_capacity"]} tokens of a sequence, in
training too: up to {config["expert_capacity"]} tokens nothing can be dropped.

## Training

{facts["minutes"]:.0f} minutes on {facts["device"]}, {facts["step"]:,} steps,
{facts["source_tokens"] / 1e6:.1f} M encoder and {facts["target_tokens"] / 1e6:.2f} M target tokens:
few, for a language model.
T5 span corruption (15 to 35 %, mean span 3) on windows of 128 tokens, three batches in ten of 6
to 64 tokens; AdamW, peak rate {facts["options"]["learning_rate"]:g} of each parameter's root mean
square, cosine to 1 % of it; load balancing loss × {facts["options"]["auxiliary"]:g} and z-loss ×
{facts["options"]["z"]:g}, each the mean over the {len(layers)} router layers; seed
{facts["options"]["seed"]}. Recipe: `training/README.md`.

Text, from Debian packages, and its licences:

{_source_list(facts)}
- arithmetic: generated

## Held-out loss

Nats per target token, {numbers["documents"]} documents that were not in training, one window of at
most 128 tokens each. *Unigram* predicts from the frequencies of targets in the training text; *best
unigram* from those of these very targets, all domains together: over all of them no unigram model
can be better. *Text only* leaves out sentinels and `</s>`, which are easy.

**{loss["all"]["model"]:.2f} against {loss["all"]["unigram"]:.2f}** (text only
{loss["text_only"]["model"]:.2f} against {loss["text_only"]["unigram"]:.2f}).

{_loss_table(loss)}

## Routing on held-out text

Encoder layers are measured on the windows as they stand, decoder layers while the masked spans are
predicted (teacher forcing). Load is the share of tokens whose first choice an expert is. The null
shuffles the domain labels over whole documents, {numbers["permutations"]} times: tokens of one
document are alike, shuffling single tokens would put chance too low. *Dropped* is what expert
capacity left out in these windows.

Mean over the encoder layers **{mean_information:.2f} bits** of at most
{math.log2(config["num_experts"]):.0f}; least load of any expert **{_percent(least)} %** (even would
be {_percent(1 / config["num_experts"])} %).

{_information_table(layers)}

Load in per cent:

{_load_table(layers)}

Who goes where in the encoder layer that tells domains apart best, in per cent of the domain's
tokens:

{_domain_table(widest, list(loss["domains"]))}

Short input, the first {numbers["short_tokens"]} tokens of the same documents:

{_information_table(numbers["short_layers"])}
"""
