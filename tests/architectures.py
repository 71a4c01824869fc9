"""Every Mixture-of-Experts architecture of the installed `transformers`, as a tiny model."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from tests.architecture_sizes import FAMILIES, PART, TEXT, Sizes

# The class which a user would load to run text, by package.
MODELS = {
    "afmoe": "AfmoeForCausalLM",
    "aria": "AriaForConditionalGeneration",
    "axk1": "AXK1ForCausalLM",
    "axk2": "AXK2ForCausalLM",
    "bailing_hybrid": "BailingHybridForCausalLM",
    "beam": "BeamForCausalLM",
    "cohere2_moe": "Cohere2MoeForCausalLM",
    "dbrx": "DbrxForCausalLM",
    "deepseek_ocr2": "DeepseekOcr2ForConditionalGeneration",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "deepseek_v32": "DeepseekV32ForCausalLM",
    "deepseek_v4": "DeepseekV4ForCausalLM",
    "diffusion_gemma": "DiffusionGemmaForBlockDiffusion",
    "doge": "DogeForCausalLM",
    "dots1": "Dots1ForCausalLM",
    "dots3_note": "Dots3NoteForConditionalGeneration",
    "ernie4_5_moe": "Ernie4_5_MoeForCausalLM",
    "ernie4_5_vl_moe": "Ernie4_5_VLMoeForConditionalGeneration",
    "exaone_moe": "ExaoneMoeForCausalLM",
    "flex_olmo": "FlexOlmoForCausalLM",
    "flint": "FlintForCausalLM",
    "gemma4": "Gemma4ForConditionalGeneration",
    "glm4_moe": "Glm4MoeForCausalLM",
    "glm4_moe_lite": "Glm4MoeLiteForCausalLM",
    "glm4v_moe": "Glm4vMoeForConditionalGeneration",
    "glm5_next": "Glm5NextForConditionalGeneration",
    "glm_moe_dsa": "GlmMoeDsaForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "granitemoe": "GraniteMoeForCausalLM",
    "granitemoe_swa": "GraniteMoeSWAForCausalLM",
    "granitemoehybrid": "GraniteMoeHybridForCausalLM",
    "granitemoeshared": "GraniteMoeSharedForCausalLM",
    "hunyuan_v1_moe": "HunYuanMoEV1ForCausalLM",
    "hy_v3": "HYV3ForCausalLM",
    "hy_v4": "HYV4ForCausalLM",
    "inkling": "InklingForConditionalGeneration",
    "inkling2": "Inkling2ForConditionalGeneration",
    "jamba": "JambaForCausalLM",
    "jetmoe": "JetMoeForCausalLM",
    "kimi_k25": "Kimi_K25ForConditionalGeneration",
    "kimi_linear": "KimiLinearForCausalLM",
    "kolibri1": "Kolibri1ForCausalLM",
    "laguna": "LagunaForCausalLM",
    "lfm2_moe": "Lfm2MoeForCausalLM",
    "llama4": "Llama4ForConditionalGeneration",
    "longcat_flash": "LongcatFlashForCausalLM",
    "mellum": "MellumForCausalLM",
    "mimo_v2_flash": "MiMoV2FlashForCausalLM",
    "minimax": "MiniMaxForCausalLM",
    "minimax_m2": "MiniMaxM2ForCausalLM",
    "minimax_m3_vl": "MiniMaxM3SparseForConditionalGeneration",
    "mistral4": "Mistral4ForCausalLM",
    "mistral_large4": "MistralLarge4ForConditionalGeneration",
    "mixtral": "MixtralForCausalLM",
    "muse_spark": "MuseSparkForConditionalGeneration",
    "nemotron3_5_transcribe": "Nemotron3_5TranscribeForConditionalGeneration",
    "nemotron_h": "NemotronHForCausalLM",
    "nemotron_h_omni": "NemotronH_Omni_Reasoning_V3",
    "nllb_moe": "NllbMoeForConditionalGeneration",
    "olmoe": "OlmoeForCausalLM",
    "openai_privacy_filter": "OpenAIPrivacyFilterForTokenClassification",
    "phimoe": "PhimoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_5_moe": "Qwen3_5MoeForConditionalGeneration",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
    "qwen4_exp": "Qwen4ExpForConditionalGeneration",
    "solar_open": "SolarOpenForCausalLM",
    "step3p7": "Step3p7ForConditionalGeneration",
    "switch_transformers": "SwitchTransformersForConditionalGeneration",
    "unlimited_ocr": "UnlimitedOcrForConditionalGeneration",
    "zaya": "ZayaForCausalLM",
}

# What a checkpoint's config.json calls it, where that isn't the package's name.
MODEL_TYPES = {
    "inkling": "inkling_mm_model",
    "nemotron3_5_transcribe": "nemo_speechlm",
    "nllb_moe": "nllb-moe",
    "qwen3_omni_moe": "qwen3_omni_moe_thinker",
}

NOTES = {
    "deepseek_v4": "Two of four layers choose experts by a table of tokens, undeclared.",
    "diffusion_gemma": "Denoises random tokens after the prompt; returns no router logits.",
    "doge": "Routing mixes tokens: the halves of its logits are not a token's.",
    "dots3_note": "Its vision part routes too, undeclared.",
    "ernie4_5_vl_moe": "Each block also has a router for images, idle on text.",
    "jetmoe": "Attention is routed too, and declared twice.",
    "kimi_k25": "The text model is DeepSeek V3's; the whole returns no router logits.",
    "nemotron3_5_transcribe": "The text model is Nemotron-H's; the whole returns no router logits.",
    "nemotron_h_omni": "The text model is Nemotron-H's; the whole returns no router logits.",
    "nllb_moe": "Whatever its routers choose, only experts 0 and 1 run in transformers 5.23.",
    "openai_privacy_filter": "Labels tokens instead of generating; returns no router logits.",
    "qwen3_omni_moe": "The thinker: the whole model can generate but has no forward.",
    "zaya": "An expert more than declared does nothing; choosing it looks like choosing expert 0.",
}

# Left out as well: wrappers of any text model (LLaVA and the like), which are dense by default.
NOT_BUILT = {
    "gemma3n": "No experts: what it calls a router mixes copies of the hidden state.",
    "gemma4_unified": "No experts: it only asks whether router logits are wanted.",
    "granite_docling": "No experts: its router looks at a whole image to choose a resolution.",
    "vitpose": "Images only; its experts are vitpose_backbone's.",
    "vitpose_backbone": "Images only, and no router: the caller names the expert.",
}

# What configurations call the number of experts and k.
EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
CHOSEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_top_k",
    "moe_k",
)
ALWAYS_CHOSEN = {"nllb_moe": 2, "switch_transformers": 1}

MAIN_PARTS = ("text_config", "thinker_config")
TEXT_PARTS = (*MAIN_PARTS, "attn_config", "ffn_config")
SPECIAL_TOKEN = re.compile(r"(?<!^pad)(?<!^bos)(?<!^eos)(?<!^decoder_start)_token_(id|index)$")
BIAS = re.compile(r"(^|[._])(e_score_correction|correction|expert|gate|balancing)_bias(es)?$")


@dataclass(frozen=True)
class Architecture:
    """How to build one package's model."""

    package: str
    model_type: str
    build: Callable[[], PreTrainedModel]
    note: str = ""


def packages_with_routers() -> list[str]:
    """The packages of the installed transformers which declare router logits."""
    models = Path(transformers.__file__).parent / "models"
    return sorted(
        source.parent.name
        for source in models.glob("*/modeling_*.py")
        if '"router_logits": ' in source.read_text(encoding="utf-8")
    )


def defaults(package: str) -> tuple[int | None, int | None]:
    """Experts and k of the library's default configuration, None for what that leaves open.

    Experts that compute nothing (LongCat, ZAYA) don't count. Doge's are those of its fields,
    though it is dense unless told otherwise.
    """
    config: Any = _config_class(package)()
    for name in (*MAIN_PARTS, "ffn_config"):
        config = getattr(config, name, None) or config
    experts = next((n for n in (getattr(config, name, None) for name in EXPERTS) if n), None)
    if experts is None:
        return None, None
    chosen = next((k for k in (getattr(config, name, None) for name in CHOSEN) if k), None)
    return experts, ALWAYS_CHOSEN.get(package, chosen)


def _config(config_class: type[PreTrainedConfig], sizes: Sizes, own: Sizes) -> PreTrainedConfig:
    """A configuration with those `sizes` which this class knows, and with all of its `own`.

    What a composite configuration doesn't know itself is meant for the text model in it.
    """
    known = [field.name for field in fields(config_class)]
    values = {name: size for name, size in sizes.items() if name in known}
    parts = config_class.sub_configs
    if not parts:
        return config_class(**{**values, **own})
    special = [name for name in known if SPECIAL_TOKEN.search(name)]
    values |= {name: 260 + number for number, name in enumerate(special)}
    mine = {name for name in own if name in known or SPECIAL_TOKEN.search(name)}
    values |= {name: own[name] for name in mine - parts.keys()}
    theirs = {name: size for name, size in own.items() if name not in mine}
    default = config_class()
    for name in parts:
        part = getattr(default, name)
        if part is not None:
            about = {**own.get(name, {}), **(theirs if name in MAIN_PARTS else {})}
            values[name] = _config(type(part), TEXT if name in TEXT_PARTS else PART, about)
    return config_class(**values)


@contextmanager
def _seeded() -> Iterator[None]:
    """The same random numbers each time, and NaN in whatever is left uninitialised."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)


def routers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The modules whose outputs any part of the model declares as router logits, by name."""
    targets: set[type[nn.Module]] = set()
    for module in model.modules():
        declared = (getattr(module, "_can_record_outputs", None) or {}).get("router_logits", [])
        recorders = declared if isinstance(declared, list) else [declared]
        targets |= {recorder.target_class for recorder in recorders}
    modules: dict[str, nn.Module] = dict(model.named_modules())
    return {name: module for name, module in modules.items() if isinstance(module, tuple(targets))}


@torch.no_grad()
def _enliven(model: PreTrainedModel) -> None:
    """Give what was left uninitialised a value, and routers weights that tell tokens apart."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if BIAS.search(name) or (tensor.is_floating_point() and tensor.isnan().any()):
            tensor.normal_(std=0.05)
            if name.endswith("balancing_biases"):
                # Loading sets the last one, of the expert that does nothing, to -1 in any case.
                tensor[:-1] -= 1.0
                tensor[-1] = -1.0
        elif name.endswith("tid2eid"):  # The experts of each token in hash-routed layers.
            experts = model.config.n_routed_experts
            tensor.copy_(torch.rand(len(tensor), experts).argsort(-1)[:, : tensor.shape[1]])
    for router in routers(model).values():
        only_routes = re.search("Rout|Gat", type(router).__name__)
        for name, parameter in router.named_parameters():
            chooses = only_routes or re.search(r"gate\.|router", name)
            if chooses and parameter.dim() == 2 and not BIAS.search(name):
                parameter.normal_(std=0.3)


def _build(package: str) -> PreTrainedModel:
    model_class = _model_class(package)
    with _seeded():
        config = _config(_config_class(package), TEXT, FAMILIES.get(package, {}))
        model: PreTrainedModel = model_class(config)
        _enliven(model)
    model.eval()
    return model


def _model_class(package: str) -> type[PreTrainedModel]:
    modeling = import_module(f"transformers.models.{package}.modeling_{package}")
    model_class: type[PreTrainedModel] = getattr(modeling, MODELS[package])
    return model_class


def _config_class(package: str) -> type[PreTrainedConfig]:
    config_class = _model_class(package).config_class
    assert config_class is not None
    return config_class


ARCHITECTURES: dict[str, Architecture] = {
    package: Architecture(
        package,
        MODEL_TYPES.get(package, package),
        partial(_build, package),
        NOTES.get(package, ""),
    )
    for package in MODELS
}
