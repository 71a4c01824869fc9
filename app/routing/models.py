"""Which models may be used, how they are loaded, and the lock under which they run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from app.routing.errors import ModelLoadError, ModelNotReadyError, UnknownModelError, one_line
from app.routing.loaded import LoadedModel
from app.routing.loading import load_model
from app.routing.verdicts import Verdicts
from app.settings import ModelSpec

log = logging.getLogger(__name__)

State = Literal["unloaded", "loading", "ready", "failed"]
# So long a failed model answers with its reason before asking for it tries again.
_RETRY_AFTER_SECONDS = 20.0


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

    def __init__(
        self,
        specs: Mapping[str, ModelSpec],
        dtype: str,
        threads: int,
        memory: Path | None = None,
    ) -> None:
        """`memory`: the folder that keeps what was found out about models, None for none."""
        self.specs = dict(specs)
        self.default = next(iter(self.specs))
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._verdicts = Verdicts(memory)
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
            model = load_model(
                self.specs[model_id], self._dtype, self._inference, progress, self._verdicts
            )
        except Exception as error:
            log.exception("loading %s failed", model_id)
            with self._changed:
                status.detail = one_line(error)
                status.ended = time.monotonic()
                status.state = "failed"
                self._changed.notify_all()
            return
        with self._changed:
            self._loaded[model_id] = model
            status.state = "ready"
            self._changed.notify_all()
        log.info("%s is ready after %.1f s", model_id, time.monotonic() - status.started)
