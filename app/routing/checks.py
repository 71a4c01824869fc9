"""What a model must show before it is used: its routers read right on a probe text.

A tool that reads a router wrongly looks as sure as one that reads it right, so every model
is tried when it is loaded, by invariants that need no knowledge of its family.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.routing.capture import capture, capture_batch, run_ids
from app.routing.encoding import decoder_start
from app.routing.errors import ModelLoadError, RoutingError
from app.routing.loaded import LoadedModel
from app.routing.passes import listening, padded
from app.routing.probes import PROBE_TOKENS, PROBES, probe, probe_task
from app.routing.routers.base import Candidate, RouterOutput, RouterSite
from app.routing.routers.discovery import experts_of
from app.routing.routers.families import NOTES
from app.routing.task import Generation, Task
from app.routing.trace import RouterLayer, RoutingTrace

log = logging.getLogger(__name__)

_GENERATED = 3


def examine(loaded: LoadedModel, candidates: Sequence[Candidate]) -> LoadedModel:
    """The model with its routers as sites, after all checks that can refuse it.

    Most of them run whole passes, and all want the layers as the library made them.

    Refused: a router that fires more than once in a pass, arrays that contradict each other,
    a choice that is not the top-k of the scores where the family says so, weights that don't
    follow the scores, experts that run other than those chosen, logits other than those the
    library itself records, experts without a router, a second pass that differs, text alone
    that can't be run. Raises ModelLoadError with the reason.
    """
    try:
        loaded = _with_sites(loaded, candidates)
        alone = [probe(loaded, text) for text in PROBES]
        if not agree(alone[0], probe(loaded, PROBES[0])):
            raise ModelLoadError("its routing differs from one run to the next")
        _check_experts(loaded)
        for layer in alone[0].layers:
            _check_weights(layer, loaded)
        _check_library(loaded)
    except ModelLoadError:
        raise
    except RoutingError as error:
        raise ModelLoadError(f"its routers can't be trusted: {error}") from error
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ModelLoadError(f"it can't be run on text alone: {reason[0][:200]}") from error
    return loaded


def try_out(loaded: LoadedModel) -> LoadedModel:
    """Says which of the two the model can't do: padded batches that don't change a trace, and
    generation that routes as the same tokens forced. Noted, and never used.
    """
    return _with_generation(_with_batches(loaded))


def agree(one: RoutingTrace, other: RoutingTrace) -> bool:
    """Whether two traces show the same, but for rounding: logits, and experts unless tied."""
    pairs = list(zip(one.layers, other.layers, strict=True))
    return all(_same(a, b, one.provenance.get("dtype") == "float32") for a, b in pairs)


def _same(a: RouterLayer, b: RouterLayer, exact: bool) -> bool:
    tolerance = (1e-3 if exact else 0.1) * (1 + float(np.abs(a.logits).max()))
    if a.logits.shape != b.logits.shape or np.abs(a.logits - b.logits).max() > tolerance:
        return False
    return not exact or bool((np.sort(a.experts, axis=1) == np.sort(b.experts, axis=1)).all())


def _ids(loaded: LoadedModel, text: str) -> tuple[list[int], list[int] | None]:
    ids: list[int] = loaded.tokenizer(text, verbose=False)["input_ids"]
    return ids, [decoder_start(loaded), *ids] if loaded.encoder_decoder else None


def _with_sites(loaded: LoadedModel, candidates: Sequence[Candidate]) -> LoadedModel:
    """Takes the routers that run on text, in the order in which they run."""
    ids, target = _ids(loaded, PROBES[0])
    ran: list[str] = []
    orphans = [n for n, r in experts_of(loaded.model, candidates).items() if r is None]

    def note(name: str) -> Any:
        return lambda *_: ran.append(name)

    with loaded.lock, torch.inference_mode(), ExitStack() as hooks:
        for name in [*orphans, *(candidate.name for candidate in candidates)]:
            module = loaded.model.get_submodule(name)
            hooks.callback(module.register_forward_hook(note(name)).remove)
        with listening(candidates) as calls:
            run_ids(loaded, [ids], [target] if target else [], whole=True)
    if lost := sorted(set(orphans) & set(ran)):
        raise ModelLoadError(f"the router of the experts in {lost[0]} can't be found")
    if often := [name for name in ran if ran.count(name) > 1]:
        raise ModelLoadError(f"its router {often[0]} runs several times in one pass")
    found = [(c, kept[0]) for c, kept in zip(candidates, calls, strict=True) if kept]
    found.sort(key=lambda pair: ran.index(pair[0].name))
    sites = tuple(_site(candidate, output) for candidate, output in found)
    if not sites:
        raise ModelLoadError("none of its routers runs on text alone")
    kinds = {type(site.module).__name__ for site in sites}
    notes = [NOTES[kind] for kind in sorted(kinds & set(NOTES))]
    if idle := len(candidates) - len(sites):
        notes.append(f"{idle} of its routers do not run on text alone and are not shown")
    return replace(loaded, sites=sites, notes=tuple(notes))


def _site(candidate: Candidate, output: RouterOutput) -> RouterSite:
    module, reading = candidate.module, candidate.reading
    # A capacity that the router works out anew in every pass is none that could be set.
    by_text = hasattr(module, "moe_eval_capacity_token_fraction")
    return RouterSite(
        **vars(candidate),
        num_experts=output.logits.shape[1],
        top_k=output.experts.shape[1],
        capacity=None if by_text else output.capacity,
        score_function=reading.score_function(module),
        selection=reading.selection(module),
    )


def _check_weights(layer: RouterLayer, loaded: LoadedModel) -> None:
    """That the named score function is the one by which the model weighs its experts."""
    site = next(site for site in loaded.sites if site.name == layer.name)
    if not site.reading.proportional or layer.top_k < 2:
        return
    scores = np.take_along_axis(layer.probabilities, layer.experts, axis=1)
    left, right = layer.weights * scores[:, :1], layer.weights[:, :1] * scores
    tolerance = 0.01 if loaded.provenance["dtype"] == "float32" else 0.05
    if (np.abs(left - right) > tolerance * np.abs(right) + 1e-6).any():
        raise ModelLoadError(
            f"the weights of {layer.name} do not follow its scores ({layer.score_function})"
        )


def _check_experts(loaded: LoadedModel) -> None:
    """That the experts which run are those that the routers chose.

    Seen where experts are modules of their own, or are handed the choice as a tensor.
    """
    ids, target = _ids(loaded, PROBES[0])
    ran: dict[str, Any] = {}

    def handed(site: str) -> Any:
        def keep(_module: Any, inputs: tuple[Any, ...]) -> None:
            whole = [x for x in inputs if isinstance(x, Tensor) and x.dtype == torch.int64]
            ran.setdefault(site, whole[0] if whole else None)

        return keep

    def single(site: str, expert: int) -> Any:
        def keep(_module: Any, inputs: tuple[Any, ...], _output: Any) -> None:
            if inputs[0].numel():
                ran.setdefault(site, set()).add(expert)

        return keep

    with loaded.lock, torch.inference_mode(), ExitStack() as hooks:
        for name, router in experts_of(loaded.model, loaded.sites).items():
            if router is None:
                continue
            module = loaded.model.get_submodule(name)
            if isinstance(module, (nn.ModuleDict, nn.ModuleList)):
                parts = module.values() if isinstance(module, nn.ModuleDict) else module
                for index, part in enumerate(parts):
                    handle = part.register_forward_hook(single(router.name, index))
                    hooks.callback(handle.remove)
            else:
                hooks.callback(module.register_forward_pre_hook(handed(router.name)).remove)
        outputs = run_ids(loaded, [ids], [target] if target else [], whole=True)
    for site, output in zip(loaded.sites, outputs, strict=True):
        if not _ran_as_chosen(output, ran.get(site.name)):
            raise ModelLoadError(
                f"in this version of the library the experts that run are not those its "
                f"router chose ({site.name})"
            )


def _ran_as_chosen(output: RouterOutput, ran: Any) -> bool:
    weighty = output.weights != 0
    if isinstance(ran, set):
        return ran == set(output.experts[weighty].tolist())
    if isinstance(ran, Tensor) and ran.numel() == output.experts.numel():
        given = ran.reshape(output.experts.shape)
        found = (output.experts.unsqueeze(-1) == given.unsqueeze(1)).any(dim=-1)
        return bool(found[weighty].all())
    return True


def _check_library(loaded: LoadedModel) -> None:
    """That the logits are those which the library itself records in the same pass."""
    ids, target = _ids(loaded, PROBES[0])
    tensor, mask = padded([ids], loaded.pad_id)
    options: dict[str, Any] = {"input_ids": tensor, "attention_mask": mask}
    if target:
        options["decoder_input_ids"] = torch.tensor([target])
    model: Any = loaded.model
    with loaded.lock, torch.inference_mode(), listening(loaded.sites) as calls:
        try:
            answer = model(**options, output_router_logits=True, return_dict=True)
        except Exception:
            # Several families can't answer so; what they do record is tested elsewhere.
            log.info("%s gives no router logits by itself", loaded.identity.id, exc_info=True)
            return
    for stack in ("", "encoder_", "decoder_"):
        recorded = getattr(answer, f"{stack}router_logits", None) or ()
        for tensor in recorded:
            if isinstance(tensor, Tensor) and not _known(tensor, loaded.sites, calls):
                raise ModelLoadError("its logits differ from those that the library records")


def _known(recorded: Tensor, sites: Sequence[RouterSite], calls: list[list[RouterOutput]]) -> bool:
    flat = recorded.detach().float().flatten()
    for site, kept in zip(sites, calls, strict=True):
        mine = site.reading.recorded(kept[0])
        if mine is None or (mine.numel() == flat.numel() and torch.equal(mine.flatten(), flat)):
            return True
    return False


def _with_batches(loaded: LoadedModel) -> LoadedModel:
    if loaded.provenance.get("fast"):
        # Rounding makes a batch another one; its agreement with float32 has decided.
        return loaded if loaded.batches else _one_by_one(loaded)
    try:
        alone = [probe(loaded, text) for text in PROBES]
        tasks = [probe_task(loaded, text) for text in PROBES]
        together = capture_batch(loaded, tasks, PROBE_TOKENS)
        same = all(agree(a, b) for a, b in zip(alone, together, strict=True))
    except Exception:
        log.info("%s can't run a padded batch", loaded.identity.id, exc_info=True)
        same = False
    return loaded if same else _one_by_one(loaded)


def _one_by_one(loaded: LoadedModel) -> LoadedModel:
    note = "padding changes its routing, so texts are run one at a time"
    return replace(loaded, batches=False, notes=(*loaded.notes, note))


def _with_generation(loaded: LoadedModel) -> LoadedModel:
    if not loaded.model.can_generate():
        return loaded
    loaded = replace(loaded, generates=True)
    try:
        made = capture(loaded, Task(PROBES[0], generation=Generation(_GENERATED)), PROBE_TOKENS)
        ids = made.sequences[loaded.first].token_ids.tolist()
        last = made.sequences["decoder"].token_ids.tolist()
        targets = [last] if loaded.encoder_decoder else []
        with loaded.lock, torch.inference_mode():
            forced = run_ids(loaded, [ids], targets)
        if _follows(loaded, made, forced):
            return loaded
        reason = "its routing with a cache differs from that of the same tokens without"
    except Exception as error:
        log.info("%s does not generate", loaded.identity.id, exc_info=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    note = f"it is not used to generate: {reason}"
    return replace(loaded, generates=False, notes=(*loaded.notes, note))


def _follows(loaded: LoadedModel, made: RoutingTrace, forced: list[RouterOutput]) -> bool:
    """Whether generated routing is that of the same tokens forced; drops apart, which
    change what follows them."""
    if any(bool(output.dropped.any()) for output in forced):
        return True
    tolerance = 1e-3 if loaded.provenance["dtype"] == "float32" else 0.1
    return all(
        np.abs(layer.logits - output.logits.numpy()).max()
        <= tolerance * (1 + float(np.abs(layer.logits).max()))
        for layer, output in zip(made.layers, forced, strict=True)
    )
