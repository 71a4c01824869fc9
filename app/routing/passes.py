"""Runs a model's stacks with its routers listened to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from app.routing.errors import TraceError
from app.routing.routers.base import Candidate, RouterOutput, Sink


class _Heard(Exception):  # noqa: N818 (no error: how a pass is ended from inside a hook)
    """The last router has spoken: what follows in the pass tells nothing about routing."""


@contextmanager
def listening(
    sites: Sequence[Candidate], to_the_end: bool = True
) -> Iterator[list[list[RouterOutput]]]:
    """The calls of each router while the context lasts, this thread's only.

    Otherwise than `to_the_end`, a pass that runs inside ends when the last of the `sites`
    has spoken, and the context with it: the experts behind it and the rest of the model
    don't run, and no output comes. The library restores its own state on the way out.
    A generation lets other threads run the same model between two of its tokens.
    """
    # Asked for its number of threads, a new thread takes over what torch was told to use.
    torch.get_num_threads()
    thread = threading.get_ident()
    calls: list[list[RouterOutput]] = [[] for _ in sites]

    def keeper(kept: list[RouterOutput], last: bool) -> Sink:
        def keep(output: RouterOutput) -> None:
            if threading.get_ident() == thread:
                kept.append(output)
                if last:
                    raise _Heard

        return keep

    with ExitStack() as hooks, suppress(_Heard):
        for place, (site, kept) in enumerate(zip(sites, calls, strict=True), start=1):
            last = not to_the_end and place == len(sites)
            for handle in site.attach(keeper(kept, last)):
                hooks.callback(handle.remove)
        yield calls


@contextmanager
def capacity_of(sites: Sequence[Candidate], capacity: int | None) -> Iterator[None]:
    """Gives all routers another expert capacity for a while. None leaves their own."""
    if capacity is None:
        yield
        return
    before = [site.module.expert_capacity for site in sites]
    try:
        for site in sites:
            site.module.expert_capacity = capacity  # type: ignore[assignment]
        yield
    finally:
        for site, own in zip(sites, before, strict=True):
            site.module.expert_capacity = own


def padded(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, int64 [B, S], padding on the right.

    There it comes after the tokens in every expert's queue, and nothing causal sees it.
    """
    longest = max(map(len, sequences))
    ids = torch.tensor([[*seq, *[pad] * (longest - len(seq))] for seq in sequences])
    lengths = torch.tensor([len(seq) for seq in sequences])
    return ids, (torch.arange(longest)[None, :] < lengths[:, None]).long()


def run_encoder(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Any:
    """The encoder's output for a padded batch."""
    encoder: Any = model.get_encoder()
    return encoder(input_ids=ids, attention_mask=mask)


def run_decoder(
    model: PreTrainedModel, encoded: Any, mask: Tensor, ids: Tensor, decoder_mask: Tensor
) -> None:
    """Runs the decoder of an encoder–decoder model over given tokens (teacher forcing)."""
    decoder: Any = model.get_decoder()
    decoder(
        input_ids=ids,
        attention_mask=decoder_mask,
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=mask,
        use_cache=False,
    )


def run_alone(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> None:
    """Runs a model of one stack, without the head that routing does not need."""
    options = {"use_cache": False} if model.can_generate() else {}
    base: Any = model.base_model
    base(input_ids=ids, attention_mask=mask, **options)


def one_call(sites: Sequence[Candidate], calls: list[list[RouterOutput]]) -> list[RouterOutput]:
    """Each router's only call. Raises TraceError if one fired another number of times."""
    for site, kept in zip(sites, calls, strict=True):
        if len(kept) != 1:
            raise TraceError(f"{site.name} fired {len(kept)} times in one pass")
    return [kept[0] for kept in calls]
