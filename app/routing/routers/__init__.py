"""One small module per way of reading a router's output."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedModel

from app.routing.errors import ModelLoadError
from app.routing.routers import switch
from app.routing.routers.base import RouterReader

READERS: dict[str, Callable[[PreTrainedModel], RouterReader]] = {
    "switch_transformers": switch.SwitchReader,
}


def check_family(family: str) -> None:
    """Raises ModelLoadError for a model type whose routers can't be read yet."""
    if family not in READERS:
        raise ModelLoadError(
            f"routers of the family «{family}» can't be read; "
            f"supported: {', '.join(sorted(READERS))}"
        )


def reader_for(model: PreTrainedModel) -> RouterReader:
    """The reader for the model's family.

    Raises ModelLoadError for a model without routers, of a family that cannot be read
    yet, or under a library version whose routers are known to be wrong.
    """
    family = str(model.config.model_type)
    check_family(family)
    return READERS[family](model)
