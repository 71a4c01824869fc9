"""Which models may be used, how they are loaded, and the lock under which they run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from app.routing.checks import examine
from app.routing.errors import ModelLoadError, ModelNotReadyError, UnknownModelError
from app.routing.loaded import LoadedModel
from app.routing.routers.discovery import find_routers
from app.routing.trace import ModelIdentity
from app.settings import ModelSpec

log = logging.getLogger(__name__)
# Progress is told by LoadStatus; the library's own bars would fill the log.
transformers.utils.logging.disable_progress_bar()

State = Literal["unloaded", "loading", "ready", "failed"]
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]
# So long a failed model answers with its reason before asking for it tries again.
_RETRY_AFTER_SECONDS = 20.0
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass
class LoadStatus:
    """How far the loading of a model is. Sizes in bytes, times by the monotonic clock."""

    state: State = "unloaded"
    detail: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    started: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it has been loading, 0 when it is not."""
        return time.monotonic() - self.started if self.state == "loading" else 0.0

    @property
    def just_failed(self) -> bool:
        """Whether it failed so lately that trying again would only hide the reason."""
        return self.state == "failed" and time.monotonic() - self.ended < _RETRY_AFTER_SECONDS


class ModelRegistry:
    """The models that may be chosen; each is loaded once, on first use, in its own thread."""

    def __init__(self, specs: Mapping[str, ModelSpec], dtype: str, threads: int) -> None:
        self.specs = dict(specs)
        self.default = next(iter(self.specs))
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._changed = threading.Condition()
        self._inference = threading.Lock()
        self._loaded: dict[str, LoadedModel] = {}
        self._status = {name: LoadStatus() for name in self.specs}
        torch.set_num_threads(threads)

    def status(self, model_id: str) -> LoadStatus:
        """Raises UnknownModelError for an id that may not be chosen."""
        self._check(model_id)
        return self._status[model_id]

    def loaded(self, model_id: str) -> LoadedModel | None:
        """The model if it is ready, without waiting."""
        return self._loaded.get(model_id)

    def start_loading(self, model_id: str) -> None:
        """Begins loading unless it is loaded or under way. A failed one is tried again."""
        self._check(model_id)
        with self._changed:
            if self._status[model_id].state in ("loading", "ready"):
                return
            self._status[model_id] = LoadStatus("loading", started=time.monotonic())
        name = f"load {model_id}"
        threading.Thread(target=self._load, args=(model_id,), name=name, daemon=True).start()

    def get(self, model_id: str, wait: float = 0.0) -> LoadedModel:
        """The model, loading it first if needed and waiting up to `wait` seconds for it.

        Raises UnknownModelError, ModelLoadError with the reason, or ModelNotReadyError.
        A model that failed is tried again when it is asked for a while later.
        """
        self._check(model_id)
        ready = self._loaded.get(model_id)
        if ready:
            return ready
        if not self._status[model_id].just_failed:
            self.start_loading(model_id)
        with self._changed:
            self._changed.wait_for(lambda: self._status[model_id].state != "loading", wait)
            status = self._status[model_id]
            if status.state == "failed":
                raise ModelLoadError(f"the model {model_id} can't be used: {status.detail}")
            if status.state == "loading":
                raise ModelNotReadyError(f"the model {model_id} is still loading")
            return self._loaded[model_id]

    def _check(self, model_id: str) -> None:
        if model_id not in self.specs:
            raise UnknownModelError(
                f"there is no model of that name; choose from: {', '.join(self.specs)}"
            )

    def _load(self, model_id: str) -> None:
        status = self._status[model_id]

        def progress(done: int, total: int) -> None:
            status.done_bytes, status.total_bytes = done, total

        try:
            model = load_model(self.specs[model_id], self._dtype, self._inference, progress)
        except Exception as error:
            log.exception("loading %s failed", model_id)
            with self._changed:
                status.detail = _one_line(error)
                status.ended = time.monotonic()
                status.state = "failed"
                self._changed.notify_all()
            return
        with self._changed:
            self._loaded[model_id] = model
            status.state = "ready"
            self._changed.notify_all()
        log.info("%s is ready after %.1f s", model_id, time.monotonic() - status.started)


def load_model(
    spec: ModelSpec,
    dtype: torch.dtype,
    lock: threading.Lock,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LoadedModel:
    """Loads a model from a local folder or from the hub, through the same code.

    `progress` is told bytes done and bytes in all. Raises ModelLoadError when its routers
    can't be read, weights are missing or the tokenizer does not fit; whatever the library
    raises otherwise.
    """
    folder = Path(spec.source) if spec.local else _download(spec.source, progress)
    weights = _weight_files(folder)
    size = sum(path.stat().st_size for path in weights)
    progress(0, size)
    config = AutoConfig.from_pretrained(folder)
    kind = model_class(config)
    _check_routers(kind, config)
    # Typed Any: with output_loading_info the library returns a pair, which its types don't say.
    loader: Any = kind
    model, report = loader.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ModelLoadError(f"the checkpoint lacks {len(missing)} weights, first {missing[0]}")
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _check_tokenizer(folder, tokenizer, model)
    loaded = LoadedModel(
        identity=ModelIdentity(
            id=spec.id,
            # The configuration counts too: it holds the capacity.
            revision=_digest([folder / "config.json", *weights]) if spec.local else folder.name,
            architecture=kind.__name__,
        ),
        model=model,
        tokenizer=tokenizer,
        sites=(),
        provenance={
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "dtype": str(dtype).removeprefix("torch."),
            "device": str(model.device),
            "tokenizer": tokenizer_hash(tokenizer),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
        lock=lock,
        end_tokens=_end_tokens(model),
    )
    examined = examine(loaded, find_routers(model))
    progress(size, size)
    return examined


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


def _check_routers(kind: type[PreTrainedModel], config: PreTrainedConfig) -> None:
    """Refuses a model without readable routers before its weights are read."""
    with torch.device("meta"):
        skeleton = kind(config)
    find_routers(skeleton)


def _end_tokens(model: PreTrainedModel) -> frozenset[int]:
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


def _weight_files(folder: Path) -> list[Path]:
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


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _download(model_id: str, progress: Callable[[int, int], None]) -> Path:
    class Reporter(tqdm):  # type: ignore[type-arg]
        """Hands the library's own download bars on; it offers no other way to listen."""

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            if not self.disable and self.unit == "B":
                progress(int(self.n), int(self.total or 0))
            return shown

    def fetch(patterns: list[str]) -> Path:
        return Path(snapshot_download(model_id, allow_patterns=patterns, tqdm_class=Reporter))

    try:
        folder = fetch(_HUB_FILES)
        if not any(folder.glob("*.safetensors")):
            # Only then: many repositories hold the same weights in both formats.
            fetch(["*.bin"])
    except RepositoryNotFoundError:
        raise ModelLoadError("the hub has no such model, or keeps it from the public") from None
    except LocalEntryNotFoundError as error:
        raise ModelLoadError(
            f"the hub can't be reached and no copy is at hand ({_one_line(error)})"
        ) from error
    return folder


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
