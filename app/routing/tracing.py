"""From what the routers gave to a RoutingTrace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.routing.encoding import Encoded
from app.routing.loaded import LoadedModel
from app.routing.routers.base import RouterOutput, RouterSite
from app.routing.task import Task
from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence


def rows_of(output: RouterOutput, row: int, rows: int, length: int) -> RouterOutput:
    """One sequence of a flattened batch of `rows`, without its padding."""

    def cut(flat: Any) -> Any:
        begin = row * (len(flat) // rows)
        return flat[begin : begin + length]

    return RouterOutput(
        cut(output.logits),
        cut(output.probabilities),
        cut(output.experts),
        cut(output.weights),
        cut(output.dropped),
        output.capacity,
    )


def trace_of(
    loaded: LoadedModel,
    task: Task,
    max_tokens: int,
    text: Encoded,
    decoder: Encoded | None,
    outputs: Sequence[RouterOutput],
    generated: int = 0,
    stopped: bool = False,
) -> RoutingTrace:
    """The trace of a task from the outputs of its stacks' routers, without padding.

    `text` are the tokens of the model's first stack, `decoder` those of the decoder of an
    encoder–decoder model, if it ran. The last `generated` tokens of the last stack are
    the model's own.
    """
    stacks: dict[Stack, Encoded] = {loaded.first: text}
    if decoder is not None:
        stacks["decoder"] = decoder
    last = decoder or text
    sites = loaded.sites if decoder is not None else loaded.first_stack
    made = last.ids[len(last.ids) - generated :]
    return RoutingTrace(
        text=task.text,
        model=loaded.identity,
        sequences={
            stack: _tokens(loaded, tokens, generated if tokens is last else 0)
            for stack, tokens in stacks.items()
        },
        layers=tuple(_layer(site, output) for site, output in zip(sites, outputs, strict=True)),
        provenance={
            **loaded.provenance,
            "mode": mode_of(loaded, task),
            "max_tokens": max_tokens,
            **{name: value for name, value in task.settings().items() if name != "target"},
            **({"own_capacity": loaded.capacity} if task.capacity is not None else {}),
            **({"stopped": True} if stopped else {}),
            **({"notes": list(loaded.notes)} if loaded.notes else {}),
        },
        target=task.target,
        output=(
            str(loaded.tokenizer.decode(made, skip_special_tokens=True))
            if task.generation
            else None
        ),
    )


def mode_of(loaded: LoadedModel, task: Task) -> str:
    """What the trace shows: encoder, prompt, teacher-forced or generated."""
    if task.generation is not None:
        return "generated"
    if task.target is not None:
        return "teacher-forced"
    return "encoder" if loaded.first == "encoder" else "prompt"


def _tokens(loaded: LoadedModel, encoded: Encoded, generated: int) -> TokenSequence:
    ids = encoded.ids
    pieces = loaded.tokenizer.convert_ids_to_tokens(ids)
    return TokenSequence(
        # A model can know, and generate, more ids than its tokenizer.
        tokens=tuple(
            piece if piece is not None else f"<id {token}>"
            for piece, token in zip(pieces, ids, strict=True)
        ),
        token_ids=ids,  # type: ignore[arg-type]
        special=[token in loaded.special_ids for token in ids],  # type: ignore[arg-type]
        generated=[place >= len(ids) - generated for place in range(len(ids))],  # type: ignore[arg-type]
        offsets=encoded.offsets,  # type: ignore[arg-type]
    )


def _layer(site: RouterSite, output: RouterOutput) -> RouterLayer:
    return RouterLayer(
        name=site.name,
        stack=site.stack,
        block=site.block,
        logits=output.logits.numpy(),
        probabilities=output.probabilities.numpy(),
        experts=output.experts.numpy(),
        weights=output.weights.numpy(),
        dropped=output.dropped.numpy(),
        score_function=site.score_function,
        selection=site.selection,
        capacity=output.capacity,
    )
