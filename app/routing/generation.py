"""Lets a model generate, and records the routing of every token while it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from app.routing.encoding import Encoded, decoder_start, encode
from app.routing.errors import TextTooLongError, TraceError
from app.routing.loaded import LoadedModel
from app.routing.passes import capacity_of, listening, one_call, padded, run_encoder
from app.routing.routers.base import RouterOutput
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from app.routing.tracing import trace_of

OnToken = Callable[[RoutingTrace], bool]
# Long enough for a waiting thread to take the lock, short beside a model's step.
_BREATH_SECONDS = 0.0005


def generate(
    loaded: LoadedModel,
    task: Task,
    generation: Generation,
    max_tokens: int,
    on_token: OnToken | None,
) -> RoutingTrace:
    """The routing of a text and of what the model makes of it, token by token.

    Every generated token is routed, the last one too: the library's own loop ends before
    that, so it runs one step more, whose choice is not used. With a cache each step sees
    one token, so no expert is ever over its capacity in the decoder. Raises
    TextTooLongError if prompt and new tokens together exceed `max_tokens`.
    """
    text = encode(loaded, task.text, max_tokens)
    if not loaded.encoder_decoder and len(text.ids) + generation.max_new_tokens > max_tokens:
        raise TextTooLongError(
            f"the prompt has {len(text.ids)} tokens; with {generation.max_new_tokens} new ones it "
            f"exceeds the limit of {max_tokens}"
        )
    with loaded.lock, torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(generation.seed)
        return _generate(loaded, task, generation, max_tokens, text, on_token)


def _generate(
    loaded: LoadedModel,
    task: Task,
    generation: Generation,
    max_tokens: int,
    text: Encoded,
    on_token: OnToken | None,
) -> RoutingTrace:
    model: Any = loaded.model
    tensor, mask = padded([text.ids], loaded.pad_id)
    encoder: list[RouterOutput] = []
    inputs: dict[str, Any] = {"input_ids": tensor, "attention_mask": mask}
    start, sites = len(text.ids), list(loaded.sites)
    if loaded.encoder_decoder:
        with capacity_of(loaded.sites, task.capacity), listening(loaded.first_stack) as calls:
            encoded = run_encoder(model, tensor, mask)
        encoder = one_call(loaded.first_stack, calls)
        inputs = {"encoder_outputs": encoded, "attention_mask": mask}
        start, sites = 1, sites[len(encoder) :]

    def snapshot(fed: Sequence[int], outputs: list[RouterOutput], stopped: bool) -> RoutingTrace:
        made = Encoded.placeless(fed[start:])
        first, decoder = text + made, None
        if loaded.encoder_decoder:
            first, decoder = text, Encoded.placeless(fed[:start]) + made
        count = len(made.ids)
        return trace_of(loaded, task, max_tokens, first, decoder, encoder + outputs, count, stopped)

    with listening(sites) as calls:
        steps = _Steps(loaded, generation, start, calls, snapshot, on_token)
        model.generate(
            **inputs,
            generation_config=_config(loaded, generation),
            stopping_criteria=StoppingCriteriaList([steps]),
        )
    if steps.trace is None:
        raise TraceError("the model generated nothing")
    return steps.trace


def _config(loaded: LoadedModel, generation: Generation) -> GenerationConfig:
    sampling: dict[str, Any] = (
        {"temperature": float(generation.temperature), "top_p": float(generation.top_p), "top_k": 0}
        if generation.do_sample
        else {}
    )
    return GenerationConfig(
        # One more than asked for: the last token is routed when the next is computed.
        max_new_tokens=generation.max_new_tokens + 1,
        do_sample=generation.do_sample,
        num_beams=1,
        pad_token_id=loaded.pad_id,
        **({"decoder_start_token_id": decoder_start(loaded)} if loaded.encoder_decoder else {}),
        **sampling,
    )


class _Steps(StoppingCriteria):
    """Called by the library after each step: collects, tells, and says when to stop."""

    def __init__(
        self,
        loaded: LoadedModel,
        generation: Generation,
        start: int,
        calls: list[list[RouterOutput]],
        snapshot: Callable[[Sequence[int], list[RouterOutput], bool], RoutingTrace],
        on_token: OnToken | None,
    ) -> None:
        self.trace: RoutingTrace | None = None
        self._loaded = loaded
        self._wanted = generation.max_new_tokens
        self._start = start
        self._calls = calls
        self._snapshot = snapshot
        self._on_token = on_token
        self._outputs: list[RouterOutput] = []
        self._known = 0

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        fed = input_ids[0, :-1].tolist()
        self._collect(len(fed) - self._known)
        self._known = len(fed)
        made = len(fed) - self._start
        done = made >= self._wanted or (made > 0 and fed[-1] in self._loaded.end_tokens)
        if self._on_token is not None or done:
            self.trace = self._snapshot(fed, self._outputs, False)
        if self._on_token is not None and self.trace is not None:
            wants_stop = self._on_token(self.trace)
            if wants_stop and not done:
                self.trace = self._snapshot(fed, self._outputs, True)
                done = True
        if not done:
            self._breathe()
        return torch.tensor([done])

    def _collect(self, new: int) -> None:
        """Takes the rows of the `new` tokens of this step; a model without a cache runs all
        tokens again, and then only the last rows are new."""
        latest = [_last(calls.pop(), new) if len(calls) == 1 else None for calls in self._calls]
        outputs = [output for output in latest if output is not None]
        if len(outputs) != len(self._calls):
            raise TraceError("a router did not fire once in each step of the generation")
        self._outputs = (
            [_joined(before, now) for before, now in zip(self._outputs, outputs, strict=True)]
            if self._outputs
            else outputs
        )

    def _breathe(self) -> None:
        """Lets whoever waits for the model have a turn; the dice stay this generation's."""
        state = torch.get_rng_state()
        self._loaded.lock.release()
        time.sleep(_BREATH_SECONDS)
        self._loaded.lock.acquire()
        torch.set_rng_state(state)


def _last(output: RouterOutput, rows: int) -> RouterOutput:
    if len(output.logits) < rows:
        raise TraceError(f"a router saw {len(output.logits)} of {rows} new tokens")
    return RouterOutput(
        output.logits[-rows:],
        output.probabilities[-rows:],
        output.experts[-rows:],
        output.weights[-rows:],
        output.dropped[-rows:],
        output.capacity,
    )


def _joined(before: RouterOutput, now: RouterOutput) -> RouterOutput:
    return RouterOutput(
        torch.cat([before.logits, now.logits]),
        torch.cat([before.probabilities, now.probabilities]),
        torch.cat([before.experts, now.experts]),
        torch.cat([before.weights, now.weights]),
        torch.cat([before.dropped, now.dropped]),
        now.capacity,
    )
