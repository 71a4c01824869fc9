"""Every MoE architecture of the installed library, as a tiny random model: captured and
verified, or refused with its reason. docs/models.md is written from this.

What a router chose is recomputed here from its inputs, by code of the tests' own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.routers.base import RouterSite
from app.routing.task import Generation, Task
from app.routing.trace import RouterLayer
from tests.architectures import ARCHITECTURES, NOT_BUILT, packages_with_routers
from tests.models_page import PAGE, models_page, outcome

TEXT = "The river bank was closed on Sunday; 14 of us waited."
REFUSED = {"diffusion_gemma": "canvas of random tokens", "nllb_moe": "experts that run are not"}
CAPTURED = sorted(set(ARCHITECTURES) - set(REFUSED))
# Their classes hand no router logits on; the checks below need none.
SILENT = {
    "openai_privacy_filter",
    "kimi_k25",
    "nemotron_h_omni",
    "nemotron3_5_transcribe",
}
# Not by a matrix alone: an MLP with a memory of the layer before, and keys of many tokens.
NOT_BY_A_MATRIX = {"DogeCDMoE", "ZayaRouter"}

Numbers = NDArray[np.float64]


def loaded(package: str) -> LoadedModel:
    found = outcome(package)
    assert isinstance(found, LoadedModel), found
    return found


def test_every_package_that_declares_routers_is_tried() -> None:
    assert not set(packages_with_routers()) - set(ARCHITECTURES)
    assert not set(ARCHITECTURES) & set(NOT_BUILT)


@pytest.mark.parametrize("package", sorted(REFUSED))
def test_what_cannot_be_shown_is_refused_with_its_reason(package: str) -> None:
    assert REFUSED[package] in str(outcome(package))


def test_the_page_of_models_is_what_was_found() -> None:
    assert Path(PAGE).read_text(encoding="utf-8") == models_page(), "run: make models-page"


def watched(model: LoadedModel, task: Task | str) -> tuple[list[RouterLayer], dict[str, Any]]:
    """The layers of a trace, and what hooks of the test's own saw go into each router."""
    inputs: dict[str, Any] = {}
    handles = [
        site.module.register_forward_pre_hook(
            lambda _module, args, name=site.name: inputs.setdefault(name, []).append(args)
        )
        for site in model.sites
    ]
    try:
        return list(capture(model, task, 512).layers), inputs
    finally:
        for handle in handles:
            handle.remove()


def matrix(module: Any) -> tuple[Numbers, Numbers | float]:
    """The router's weight [E, H] and bias, under whatever name its family gives them."""
    holders = (getattr(module, n, None) for n in ("classifier", "gate", "layer", "wg", "proj"))
    holder = next((h for h in holders if h is not None), module)
    bias = getattr(holder, "bias", None)
    return (
        holder.weight.detach().double().numpy(),
        0.0 if bias is None else bias.detach().double().numpy(),
    )


def logits_by_hand(site: RouterSite, hidden: torch.Tensor) -> Numbers:
    module: Any = site.module
    state = hidden.double().reshape(-1, hidden.shape[-1]).numpy()
    if type(module).__name__ == "Gemma4TextRouter":
        state = state / np.sqrt((state**2).mean(axis=1, keepdims=True) + module.norm.eps)
        state = state * module.scale.detach().double().numpy() * float(module.scalar_root_size)
    weight, bias = matrix(module)
    logits = (state @ weight.T + bias) * getattr(module, "output_multiplier", 1.0)
    cap = getattr(module, "router_logit_softcapping", 0.0)
    logits = np.tanh(logits / cap) * cap if cap else logits
    return np.asarray(logits[:, : site.num_experts])


def scores_by_hand(site: RouterSite, logits: Numbers) -> Numbers:
    if site.score_function.startswith("sigmoid"):
        return np.asarray(1 / (1 + np.exp(-logits)))
    if site.score_function == "sqrt-softplus":
        return np.asarray(np.sqrt(np.log1p(np.exp(logits))))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def bias_by_hand(site: RouterSite, args: tuple[Any, ...]) -> Numbers | float:
    module: Any = site.module
    statics = getattr(module, "moe_statics", module)
    bias = getattr(statics, "e_score_correction_bias", None)
    if bias is None:
        bias = args[1] if len(args) > 1 else 0.0
    return bias.detach().double().numpy().reshape(-1) if isinstance(bias, torch.Tensor) else bias


def choice_by_hand(site: RouterSite, args: tuple[Any, ...], logits: Numbers) -> NDArray[Any]:
    """The k experts of each token, sorted by number, from logits in float64."""
    module: Any = site.module
    if site.selection == "token-id table":
        return np.sort(module.tid2eid[args[1].reshape(-1)].numpy(), axis=1)
    biased_logits = type(module).__name__ == "Kolibri1TopKRouter"
    scores = logits if biased_logits else scores_by_hand(site, logits)
    if "bias" in site.selection:
        scores = scores + bias_by_hand(site, args)
    if site.selection.startswith("group-limited"):
        groups = scores.reshape(len(scores), module.num_group, -1)
        kept = 1 if hasattr(module, "topk_method") else 2
        rank = np.argsort(-np.sort(groups, axis=2)[:, :, -kept:].sum(axis=2), axis=1)
        allowed = np.zeros(groups.shape, dtype=bool)
        np.put_along_axis(allowed, rank[:, : module.topk_group, None], True, axis=1)
        scores = np.where(allowed.reshape(scores.shape), scores, -np.inf)
    return np.sort(np.argsort(-scores, axis=1)[:, : site.top_k], axis=1)


@pytest.mark.parametrize("package", CAPTURED)
class TestCaptured:
    def test_logits_and_choice_are_those_of_the_routers_inputs(self, package: str) -> None:
        model = loaded(package)
        layers, inputs = watched(model, Task(TEXT, TEXT if model.encoder_decoder else None))
        assert [layer.name for layer in layers] == [site.name for site in model.sites]
        for site, layer in zip(model.sites, layers, strict=True):
            if type(site.module).__name__ in NOT_BY_A_MATRIX:
                continue
            (args,) = inputs[site.name]
            logits = logits_by_hand(site, args[0])
            np.testing.assert_allclose(layer.logits, logits, rtol=1e-3, atol=1e-3)
            scores = scores_by_hand(site, logits)
            np.testing.assert_allclose(layer.probabilities, scores, rtol=1e-3, atol=1e-4)
            chosen = np.sort(layer.experts, axis=1)
            same = (chosen == choice_by_hand(site, args, logits)).all(axis=1)
            assert same.mean() > 0.97, f"{layer.name}: {same}"

    def test_the_library_records_the_same_number_of_routers(self, package: str) -> None:
        model = loaded(package)
        ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
        options = {"decoder_input_ids": ids} if model.encoder_decoder else {}
        with torch.inference_mode():
            answer: Any = model.model(input_ids=ids, **options, output_router_logits=True)
        recorded = [
            tensor
            for name in ("router_logits", "encoder_router_logits", "decoder_router_logits")
            for tensor in (getattr(answer, name, None) or ())
        ]
        undeclared = sum("Hash" in type(site.module).__name__ for site in model.sites)
        twice = len(model.sites) // 2 if package == "jetmoe" else 0
        silent = package in SILENT
        assert silent or len(recorded) == len(model.sites) - undeclared + twice

    def test_generated_tokens_are_routed_as_when_forced(self, package: str) -> None:
        model = loaded(package)
        if not model.generates:
            assert package in ("doge", "openai_privacy_filter") or model.notes
            return
        made = capture(model, Task(TEXT, generation=Generation(4)), 512)
        sequence = made.sequences["decoder"]
        assert 1 <= sequence.generated.sum() <= 4
        assert {len(layer.logits) for layer in made.stack_layers("decoder")} == {len(sequence)}


def test_a_skipped_token_is_not_counted_for_expert_0() -> None:
    model = loaded("zaya")
    handed: list[tuple[Any, ...]] = []
    experts = [m for m in model.model.modules() if type(m).__name__ == "ZayaExperts"]
    handles = [m.register_forward_pre_hook(lambda _m, args: handed.append(args)) for m in experts]
    layers, _ = watched(model, TEXT)
    for handle in handles:
        handle.remove()
    # The experts behind the last router don't run: the pass ends there.
    assert len(handed) == len(layers) - 1
    skips = 0
    for layer, (_, index, weights) in zip(layers[:-1], handed, strict=True):
        skipped = layer.experts[:, 0] == layer.num_experts - 1
        skips += int(skipped.sum())
        # The library hands a skipped token to expert 0, with no weight.
        assert (index[:, 0].numpy()[skipped] == 0).all()
        assert (weights[:, 0].numpy()[skipped] == 0).all()
        assert (layer.experts[~skipped, 0] == index[:, 0].numpy()[~skipped]).all()
    assert skips > 0
