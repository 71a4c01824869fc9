"""Reads a folder in the library's format: its kind, weights and tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from app.routing.errors import ModelLoadError
from app.routing.routers.discovery import find_routers

# Progress is told by LoadStatus; the library's own bars would fill the log.
transformers.utils.logging.disable_progress_bar()


def model_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The library's class for a checkpoint: the one it was saved from, else by its kind.

    Raises ModelLoadError if there is none that reads text.
    """
    for name in config.architectures or []:
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, PreTrainedModel):
            return found
    text_first = [
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForTokenClassification,
    ]
    for auto in [AutoModelForSeq2SeqLM, *text_first] if config.is_encoder_decoder else text_first:
        mapping: Any = auto._model_mapping
        if type(config) in mapping:
            kind: type[PreTrainedModel] = mapping[type(config)]
            return kind
    raise ModelLoadError(f"the library has no text model of the type {config.model_type}")


def check_routers(kind: type[PreTrainedModel], config: PreTrainedConfig) -> None:
    """Refuses a model without readable routers before its weights are read."""
    with torch.device("meta"):
        skeleton = kind(config)
    find_routers(skeleton)


def read_model(kind: type[PreTrainedModel], folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model with its weights in a dtype, as the library makes it, ready for inference.

    Weights that have this dtype on disk stay mapped: they are read when they are first used.
    Raises ModelLoadError if weights are missing.
    """
    # Typed Any: with output_loading_info the library returns a pair, which its types don't say.
    loader: Any = kind
    model, report = loader.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ModelLoadError(f"the checkpoint lacks {len(missing)} weights, first {missing[0]}")
    model.eval()
    return model  # type: ignore[no-any-return]


def read_tokenizer(folder: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The folder's tokenizer. Raises ModelLoadError if there is none, or it does not fit."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    _check_tokenizer(folder, tokenizer, model)
    return tokenizer


def end_tokens(model: PreTrainedModel) -> frozenset[int]:
    """The tokens at which a generation ends."""
    configured: Any = None
    for holder in (getattr(model, "generation_config", None), model.config):
        if configured is None:
            configured = getattr(holder, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in listed if token is not None)


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of everything that decides how a text is split, its first 16 hex digits."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    whole = backend.to_str() if backend else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def weight_files(folder: Path) -> list[Path]:
    """Its files of weights. Raises ModelLoadError if there are none."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        raise ModelLoadError("the folder holds no weights (*.safetensors or *.bin)")
    return files


def _check_tokenizer(
    folder: Path, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> None:
    # The library makes an empty tokenizer of a folder without one, and says nothing.
    files = sorted(set(tokenizer.vocab_files_names.values()))
    if not any((folder / name).is_file() for name in files):
        raise ModelLoadError(f"the folder holds no tokenizer ({' or '.join(files)})")
    embeddings: Any = model.get_input_embeddings()
    known = int(embeddings.num_embeddings)
    if len(tokenizer) > known:
        raise ModelLoadError(f"the tokenizer has {len(tokenizer)} tokens, the model knows {known}")


def tell_generation(model: PreTrainedModel) -> None:
    """Forgets the checkpoint's own settings of generation but for the decoder's start token.

    Ours are told with each generation; the checkpoint's own would change it unseen.
    """
    holder: Any = model
    if holder.can_generate():
        start = holder.generation_config.decoder_start_token_id
        holder.generation_config = GenerationConfig(decoder_start_token_id=start)
