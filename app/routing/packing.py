"""Packs a model's linear layers once it has been examined, and checks what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from app.routing.agreement import TEXTS, Agreement, agreement
from app.routing.capture import capture_batch
from app.routing.errors import ModelLoadError
from app.routing.flat import flatten
from app.routing.loaded import LoadedModel
from app.routing.packed import can_pack, give_back, own_memory, pack, packable
from app.routing.probes import PROBE_TOKENS, PROBES, probe, probe_task
from app.routing.routers.base import Candidate
from app.routing.routers.discovery import experts_of
from app.routing.trace import RoutingTrace

log = logging.getLogger(__name__)

FAST_FORMAT = "bfloat16 linear layers"
FAST_DTYPE = "float32 with bfloat16 linear layers"
NOT_PACKED = "packing its weights changes its routing, so it runs as the library runs it, slower"
# Of the largest logit: what float32 sums of another order differ by stays far below.
_TOLERANCE = 1e-4


def places(loaded: LoadedModel, candidates: Sequence[Candidate]) -> list[tuple[nn.Module, str]]:
    """The layers to pack: never a router's, never the head that makes words."""
    model: Any = loaded.model
    kept = [candidate.module for candidate in candidates]
    if (head := model.get_output_embeddings()) is not None:
        kept.append(head)
    return packable(model, kept)


def check_fast(loaded: LoadedModel, candidates: Sequence[Candidate]) -> None:
    """Raises ModelLoadError where fast mode would not be faster."""
    if not can_pack(torch.bfloat16):
        raise ModelLoadError(
            "fast mode needs a processor that computes in bfloat16, which this one does not"
        )
    experts = [loaded.model.get_submodule(name) for name in experts_of(loaded.model, candidates)]
    inside = {id(part) for module in experts for part in module.modules()}
    if not any(id(holder) in inside for holder, _ in places(loaded, candidates)):
        raise ModelLoadError(
            "fast mode would not be faster: its experts are no linear layers of their own"
        )


def pack_layers(loaded: LoadedModel, candidates: Sequence[Candidate], fast: bool) -> bool:
    """Packs what can be packed, unchecked; whether that was anything."""
    dtype = torch.bfloat16 if fast else torch.float32
    found = places(loaded, candidates) if can_pack(dtype) else []
    if not found:
        return False
    size = flatten(loaded.model, dtype) + pack(places(loaded, candidates), dtype)
    rest = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    # Where most of a model can't be packed, copying the rest would cost more than it frees.
    if rest < size:
        own_memory(loaded.model)
    give_back()
    return True


def fast_model(loaded: LoadedModel, found: Agreement) -> LoadedModel:
    """A model with bfloat16 layers that says so, and how far it can be trusted."""
    told = {"format": FAST_FORMAT, "agreement": round(found.share, 4), "choices": found.choices}
    if found.together is not None:
        told["agreement_in_batches"] = round(found.together, 4)
    return replace(
        loaded,
        batches=found.batches,
        provenance={**loaded.provenance, "dtype": FAST_DTYPE, "fast": told},
        notes=(found.note(), *loaded.notes),
    )


def packed(
    loaded: LoadedModel, candidates: Sequence[Candidate], fast: bool
) -> tuple[LoadedModel, bool] | None:
    """The examined model with its layers packed, and whether there were any.

    In fast mode it says how often it agrees with the exact one. None if exact packing
    changes the routing of the probe texts: the layers are spoilt then.
    """
    texts = TEXTS if fast else PROBES
    before = [probe(loaded, text) for text in texts]
    if not pack_layers(loaded, candidates, fast):
        return loaded, False
    try:
        after = [probe(loaded, text) for text in texts]
    except Exception:
        log.warning("%s does not run with packed layers", loaded.identity.id, exc_info=True)
        if fast:
            raise ModelLoadError("it does not run in fast mode") from None
        return None
    if fast:
        found = agreement(before, after)
        if (together := _together(loaded)) is not None:
            found = found._replace(together=agreement(before, together).share)
        return fast_model(loaded, found), True
    if all(_same(one, other) for one, other in zip(before, after, strict=True)):
        return loaded, True
    log.warning("packing the layers of %s changes its routing", loaded.identity.id)
    return None


def _together(loaded: LoadedModel) -> list[RoutingTrace] | None:
    """The routing of the fixed texts as one padded batch, None if they can't run so."""
    tasks = [probe_task(loaded, text) for text in TEXTS]
    try:
        return capture_batch(loaded, tasks, PROBE_TOKENS)
    except Exception:
        log.info("%s can't run a padded batch", loaded.identity.id, exc_info=True)
        return None


def _same(one: RoutingTrace, other: RoutingTrace) -> bool:
    """Whether all choices are the same, as sets, and all logits close."""
    return all(
        np.array_equal(np.sort(a.experts, axis=1), np.sort(b.experts, axis=1))
        and np.abs(a.logits - b.logits).max() <= _TOLERANCE * (1 + np.abs(a.logits).max())
        for a, b in zip(one.layers, other.layers, strict=True)
    )
