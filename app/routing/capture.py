"""Runs a model on a task and records what its routers did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.routing.encoding import Encoded, encode, encode_target
from app.routing.errors import InvalidTaskError
from app.routing.generation import generate
from app.routing.loaded import LoadedModel
from app.routing.passes import (
    capacity_of,
    listening,
    one_call,
    padded,
    run_alone,
    run_decoder,
    run_encoder,
)
from app.routing.routers.base import RouterOutput, RouterSite
from app.routing.task import Task
from app.routing.trace import RoutingTrace
from app.routing.tracing import rows_of, trace_of

OnToken = Callable[[RoutingTrace], bool]


def capture(
    loaded: LoadedModel, task: Task | str, max_tokens: int, on_token: OnToken | None = None
) -> RoutingTrace:
    """The routing of one task, or of a plain text.

    While a model generates, `on_token` is told the trace so far after each token; giving
    back True stops there. Raises InvalidTextError, InvalidTaskError, TextTooLongError, or
    TraceError if the model's routers contradict themselves.
    """
    task = task if isinstance(task, Task) else Task(task)
    if task.generation is not None:
        check_task(loaded, task, max_tokens)
        return generate(loaded, task, task.generation, max_tokens, on_token)
    return capture_batch(loaded, [task], max_tokens)[0]


def capture_batch(
    loaded: LoadedModel, tasks: Sequence[Task | str], max_tokens: int
) -> list[RoutingTrace]:
    """The routing of each task, run together as one padded batch.

    All must ask for the same: with a target or without, at one capacity, no generation. A
    trace does not depend on its batch; a model for which it would runs one by one. Raises
    what `capture` raises if any of the tasks cannot be analysed.
    """
    asked = [task if isinstance(task, Task) else Task(task) for task in tasks]
    if not asked:
        return []
    for task in asked:
        check_task(loaded, task, max_tokens)
    kinds = {(task.target is None, task.generation, task.capacity) for task in asked}
    if len(kinds) != 1 or asked[0].generation is not None:
        raise InvalidTaskError("a batch takes tasks that ask for the same, without generation")
    if len(asked) > 1 and not loaded.batches:
        return [capture(loaded, task, max_tokens) for task in asked]
    texts = [encode(loaded, task.text, max_tokens) for task in asked]
    targets = [
        encode_target(loaded, task.target, max_tokens) for task in asked if task.target is not None
    ]
    sites = loaded.sites if targets else loaded.first_stack
    with loaded.lock, torch.inference_mode(), capacity_of(sites, asked[0].capacity):
        outputs = run_ids(loaded, [text.ids for text in texts], [target.ids for target in targets])
    rows = len(asked)
    return [
        trace_of(
            loaded,
            task,
            max_tokens,
            texts[row],
            targets[row] if targets else None,
            [
                rows_of(output, row, rows, len(_sequence(loaded, site, texts, targets)[row].ids))
                for site, output in zip(sites, outputs, strict=True)
            ],
        )
        for row, task in enumerate(asked)
    ]


def check_task(loaded: LoadedModel, task: Task, max_tokens: int) -> None:
    """Raises InvalidTextError or InvalidTaskError for what this model can't do."""
    task.check(max_tokens)
    if task.target is not None and not loaded.encoder_decoder:
        raise InvalidTaskError(
            "a target text needs a model with encoder and decoder; "
            "give this one prompt and continuation as one text"
        )
    if task.generation is not None and not loaded.generates:
        raise InvalidTaskError(f"{loaded.identity.id} does not generate")
    if task.capacity is not None and loaded.capacity is None:
        raise InvalidTaskError(f"the experts of {loaded.identity.id} have no fixed capacity")


def _sequence(
    loaded: LoadedModel, site: RouterSite, texts: list[Encoded], targets: list[Encoded]
) -> list[Encoded]:
    return targets if loaded.encoder_decoder and site.stack == "decoder" else texts


def run_ids(
    loaded: LoadedModel, texts: list[list[int]], targets: list[list[int]], whole: bool = False
) -> list[RouterOutput]:
    """One pass over token ids, padded together; the caller holds the lock.

    With an encoder and a decoder, the decoder runs only over given `targets`, which begin
    with its start token. Gives an output of each router that ran, padding included. Ends at
    the last of these routers unless the `whole` pass is asked for.
    """
    model: Any = loaded.model
    sites = loaded.sites if targets else loaded.first_stack
    pad = loaded.pad_id
    ids, mask = padded(texts, pad)
    with listening(sites, to_the_end=whole) as calls:
        if not loaded.encoder_decoder:
            run_alone(model, ids, mask)
        else:
            encoded = run_encoder(model, ids, mask)
            if targets:
                run_decoder(model, encoded, mask, *padded(targets, pad))
    return one_call(sites, calls)
