"""A model that is ready to be traced."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from app.routing.routers.base import RouterSite
from app.routing.trace import ModelIdentity, Stack


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be traced. `lock` serialises inference over all models.

    `sites` are its routers in order of depth, encoder first. `batches`: a trace does not
    depend on what else is in a padded batch, but for rounding in fast mode. `generates`: it
    can go on from a text, ending at one of `end_tokens`. `notes` say what is particular, one
    short sentence each.
    """

    identity: ModelIdentity
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sites: tuple[RouterSite, ...]
    provenance: Mapping[str, Any]
    lock: threading.Lock
    end_tokens: frozenset[int] = frozenset()
    batches: bool = True
    generates: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def encoder_decoder(self) -> bool:
        """Whether the decoder is a stack of its own, beside the encoder."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def kind(self) -> str:
        """Which stacks it has: encoder-decoder, decoder-only or encoder-only."""
        return "encoder-decoder" if self.encoder_decoder else f"{self.first}-only"

    @property
    def capacity(self) -> int | None:
        """Its expert capacity in tokens, None without a fixed one."""
        own = {site.capacity for site in self.sites}
        return own.pop() if len(own) == 1 else None

    @cached_property
    def first(self) -> Stack:
        """The stack that reads the text."""
        return "decoder" if not self.encoder_decoder and self.model.can_generate() else "encoder"

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The tokens that stand for no text."""
        return frozenset(self.tokenizer.all_special_ids)

    @cached_property
    def pad_id(self) -> int:
        """An id to pad with. What it is doesn't matter: padding is masked and cut off."""
        return int(self.tokenizer.pad_token_id or 0)

    @cached_property
    def first_stack(self) -> tuple[RouterSite, ...]:
        """The routers of the stack that reads the text."""
        return tuple(site for site in self.sites if site.stack == self.first)
