"""Finds the routers of a model by what the library itself declares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from app.routing.errors import ModelLoadError
from app.routing.routers.base import Candidate
from app.routing.routers.families import AROUND_ROUTERS, READINGS, REFUSED
from app.routing.trace import Stack

_BLOCK = re.compile(r"\.(\d+)(?=\.|$)")
_EXPERTS = re.compile(r"(?<!Shared)Experts$")


def find_routers(model: PreTrainedModel) -> list[Candidate]:
    """All routers of a model in the order of its modules.

    Raises ModelLoadError for a model without routers, or with one that can't be read.
    """
    declared = _declared_classes(model)
    known = [(n, m) for n, m in model.named_modules() if type(m).__name__ in READINGS]
    present = {type(module).__name__ for module in model.modules()}
    if refused := sorted(present & set(REFUSED)):
        raise ModelLoadError(REFUSED[refused[0]])
    unknown = declared - set(READINGS) - AROUND_ROUTERS
    if unreadable := sorted(unknown & present):
        raise ModelLoadError(f"how its routers score is not known here ({unreadable[0]})")
    if not known:
        raise ModelLoadError(f"it has no routers: {type(model).__name__} is a dense model")
    found = [_candidate(model, name, module) for name, module in known]
    return sorted(found, key=lambda candidate: candidate.stack != "encoder")


def experts_of(model: PreTrainedModel, routers: Sequence[Candidate]) -> dict[str, Candidate | None]:
    """The module path of each set of experts and the router beside it.

    None where there is no router: what one that the library doesn't declare leaves behind.
    """
    found: dict[str, Candidate | None] = {}
    for name, module in model.named_modules():
        if _EXPERTS.search(type(module).__name__):
            block = name.rpartition(".")[0]
            beside = [r for r in routers if r.name == block or r.name.startswith(f"{block}.")]
            found[name] = beside[0] if beside else None
    return found


def _declared_classes(model: PreTrainedModel) -> set[str]:
    names: set[str] = set()
    for module in model.modules():
        declared: Any = getattr(type(module), "_can_record_outputs", None) or {}
        recorders = declared.get("router_logits", []) if isinstance(declared, dict) else []
        for recorder in recorders if isinstance(recorders, list) else [recorders]:
            target: Any = getattr(recorder, "target_class", recorder)
            names.add(target.__name__)
    return names


def _candidate(model: PreTrainedModel, name: str, module: nn.Module) -> Candidate:
    block = _BLOCK.search(name)
    return Candidate(
        name=name,
        stack=_stack(model, name),
        block=int(block[1]) if block else 0,
        module=module,
        parent=model.get_submodule(name.rpartition(".")[0]),
        reading=READINGS[type(module).__name__],
    )


def _stack(model: PreTrainedModel, name: str) -> Stack:
    if model.config.is_encoder_decoder:
        return "encoder" if "encoder" in name.split(".") else "decoder"
    return "decoder" if model.can_generate() else "encoder"
