"""Which router class of the transformers library is read in which way.

A class that stands nowhere here is refused: guessing how a router scores is how viewers go
wrong without noticing. A new family is one line.
"""

from __future__ import annotations

from torch import nn

from app.routing.routers.base import Reading
from app.routing.routers.logits_only import HandedToExperts, LogitsOnly, ProductKeys
from app.routing.routers.nllb import Nllb
from app.routing.routers.returned import Returned, ReturnedProbabilities
from app.routing.routers.skipping import Skipping
from app.routing.routers.switch import Switch

_BIASED = "top-k with bias"
_GROUPED = "group-limited top-k"


def _groups(module: nn.Module) -> str:
    """Groups restrict the choice only where fewer are kept than there are."""
    kept, groups = getattr(module, "topk_group", None), getattr(module, "num_group", None)
    method = getattr(module, "topk_method", "group_limited_greedy")
    limited = kept and groups and kept < groups and method == "group_limited_greedy"
    return _GROUPED if limited else "top-k"


def _biased_groups(module: nn.Module) -> str:
    return f"{_GROUPED} with bias" if _groups(module) == _GROUPED else _BIASED


def _activation(module: nn.Module) -> str:
    name = type(module.score_fn).__name__
    known = {"SqrtSoftplusActivation": "sqrt-softplus", "Sigmoid": "sigmoid", "Softmax": "softmax"}
    return known.get(name, name)


def _cohere(module: nn.Module) -> str:
    return f"{module.expert_selection_fn} of the top-k"


def _lfm2(module: nn.Module) -> str:
    return _BIASED if module.use_expert_bias else "top-k"


_READINGS: tuple[tuple[Returned, str], ...] = (
    (
        Returned("softmax"),
        "FlexOlmoTopKRouter HunYuanMoEV1Gate JambaTopKRouter MellumTopKRouter MiniMaxTopKRouter "
        "MixtralTopKRouter OlmoeTopKRouter Qwen2MoeTopKRouter Qwen3MoeTopKRouter "
        "Qwen3NextTopKRouter Qwen3OmniMoeTalkerTextTopKRouter Qwen3OmniMoeTextTopKRouter "
        "Qwen3OmniMoeThinkerTextTopKRouter Qwen3VLMoeTextTopKRouter Qwen3_5MoeTopKRouter "
        "Qwen4ExpTextTopKRouter",
    ),
    (
        Returned("softmax", _groups),
        "DeepseekOcr2TextTopkRouter DeepseekV2TopkRouter Mistral4TopkRouter "
        "MistralLarge4TextTopkRouter UnlimitedOcrTextTopkRouter",
    ),
    (
        Returned("softmax", _BIASED),
        "Ernie4_5_MoeTopKRouter Ernie4_5_VLMoeMoeTopKRouter LongcatFlashTopkRouter",
    ),
    (Returned("sigmoid"), "FlintTopKRouter"),
    (
        Returned("sigmoid", _BIASED),
        "AfmoeTokenChoiceRouter HYV3TopKRouter InklingTopkRouter LagunaTopKRouter "
        "MiniMaxM2TopKRouter MiniMaxM3VLTopKRouter MuseSparkTopkRouter Step3p7TopKRouter",
    ),
    (Returned("sigmoid", _lfm2), "Lfm2MoeTopKRouter"),
    (
        Returned("sigmoid", _biased_groups),
        "AXK1TopkRouter AXK2TopkRouter BailingHybridTopkRouter BeamTopKRouter "
        "DeepseekV32TopkRouter DeepseekV3TopkRouter Dots1TopkRouter Dots3NoteTextTopkRouter "
        "ExaoneMoeTopkRouter Glm4MoeLiteTopkRouter Glm4MoeTopkRouter Glm4vMoeTextTopkRouter "
        "Glm5NextTextTopkRouter GlmMoeDsaTopkRouter HYV4TopkRouter KimiLinearTopkRouter "
        "MiMoV2FlashTopkRouter NemotronHTopkRouter SolarOpenTopkRouter",
    ),
    (Returned("sigmoid of the top-k", _BIASED), "Kolibri1TopKRouter"),
    (Returned(_activation, _BIASED), "DeepseekV4TopKRouter Inkling2TopKRouter"),
    (Returned(_activation, "token-id table"), "DeepseekV4HashRouter"),
    (
        Returned("softmax of the top-k"),
        "AriaTextTopKRouter GptOssTopKRouter GraniteMoeHybridTopKRouter "
        "GraniteMoeSWATopKRouter GraniteMoeSharedTopKRouter GraniteMoeTopKRouter "
        "OpenAIPrivacyFilterTopKRouter",
    ),
    (Returned(_cohere), "Cohere2MoeTopKRouter"),
    (Returned("sparsemixer", proportional=False), "PhimoeTopKRouter"),
    (ReturnedProbabilities(), "Gemma4TextRouter"),
    (
        LogitsOnly("sigmoid of the top-k", pick=lambda out: out[1], weigh=lambda x: x.sigmoid()),
        "Llama4Router",
    ),
    (LogitsOnly("softmax of the top-k", pick=lambda out: out[4]), "JetMoeTopKGating"),
    (HandedToExperts(), "DbrxRouter"),
    (ProductKeys("softmax of the top-k"), "DogeCDMoE"),
    (Skipping("softmax", _BIASED), "ZayaRouter"),
    (Nllb(), "NllbMoeTop2Router"),
    (Switch(), "SwitchTransformersTop1Router"),
)
READINGS: dict[str, Reading] = {
    name: reading for reading, names in _READINGS for name in names.split()
}
# What somebody who reads the numbers of such a router must know.
NOTES = {
    "DeepseekV4HashRouter": "in its first sparse layers a table of token ids chooses the experts, "
    "not the scores",
    "DogeCDMoE": "the library mixes the keys of neighbouring tokens, so a token's experts "
    "depend on other tokens, later ones too",
    "Gemma4TextRouter": "each expert's weight is multiplied by a scale of its own",
    "JetMoeTopKGating": "each block routes twice: its attention and its feed-forward layer",
    "Llama4Router": "every expert runs on every token, an unchosen one on an input of zeros",
    "LongcatFlashTopkRouter": "its last experts are zero experts, which pass a token through",
    "ZayaRouter": "its last expert is «skip», which leaves a token as it is",
}
# Known, and not to be shown.
REFUSED = {
    "DiffusionGemmaTextRouter": "it routes a canvas of random tokens that it denoises, so a "
    "text has no one routing",
}
# Declared by the library to record logits, but routers of their own stand inside them.
AROUND_ROUTERS = {"JetMoeAttention", "Ernie4_5_VLMoeMoeBlock"}
