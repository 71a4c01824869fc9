"""Fetches a model from the Hugging Face hub into its own cache folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from tqdm.auto import tqdm

from app.routing.errors import ModelLoadError, one_line

_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]


def download(model_id: str, progress: Callable[[int, int], None]) -> Path:
    """The folder of a model's files, fetched unless they are at hand.

    `progress` is told bytes done and bytes in all. Raises ModelLoadError if the hub has no
    such model, or can't be reached and no copy is at hand.
    """

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
            f"the hub can't be reached and no copy is at hand ({one_line(error)})"
        ) from error
    return folder
