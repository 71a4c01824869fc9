"""Recorded runs computed again by the real model, and where its tokens stand in the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.analysis import Analyst, analysis_key, task_of
from app.recording.base import RunNotFoundError
from app.routing.alignment import BY_PLACE
from app.routing.capture import capture
from app.routing.comparison import compare
from app.routing.errors import TextTooLongError, UnknownModelError
from app.routing.loaded import LoadedModel
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from tests.conftest import load

TEXT = "The river <extra_id_0> was closed, naïve 🎉 and all."
TASKS = (
    Task("The river bank was closed, and the town slept until noon."),
    Task(TEXT, target="It opened again."),
    Task(TEXT, generation=Generation(6)),
    Task(TEXT, generation=Generation(6, do_sample=True, temperature=1.3, top_p=0.9, seed=4)),
    Task("the old man and the sea the old man", capacity=2),
)


def recorded(analyst: Analyst, trace: RoutingTrace) -> str:
    receipt = analyst.record(trace, wait=60)
    assert receipt.status == "recorded", receipt.detail
    return receipt.id


def test_a_run_computed_again_is_identical(analyst: Analyst) -> None:
    for task in TASKS:
        trace = analyst.trace(task)
        assert task_of(trace) == task
        found = analyst.recompute(recorded(analyst, trace))
        assert found.identical, found.differences
        assert found.environment == ()
        assert found.n == sum(len(layer.experts) for layer in trace.layers)


def test_a_stopped_generation_is_stopped_at_the_same_token(analyst: Analyst) -> None:
    loaded = analyst.registry.get(analyst.registry.default)
    task = Task(TEXT, generation=Generation(12))
    trace = capture(loaded, task, 512, lambda t: len(t.sequences["decoder"]) >= 4)
    assert trace.provenance["stopped"]
    found = analyst.recompute(recorded(analyst, trace))
    assert found.identical, found.differences
    assert {stack: tokens for stack, tokens, _ in found.sizes}["decoder"] == 4


def test_it_is_the_model_that_answers_not_the_memory(analyst: Analyst) -> None:
    task = Task("Remembered wrongly.")
    trace = analyst.trace(task)
    logits = trace.layers[1].logits.copy()
    logits.view(np.uint32)[2, 3] ^= 1
    wrong = replace(
        trace, layers=(trace.layers[0], replace(trace.layers[1], logits=logits), trace.layers[2])
    )
    id_ = recorded(analyst, wrong)
    # What the analyst remembers of this task and of this run is the same wrong trace.
    analyst._remember(analyst.registry.default, task, wrong)
    assert analyst.recorded_trace(id_) == wrong
    found = analyst.recompute(id_)
    assert not found.identical
    (said,) = found.differences
    assert said.startswith(trace.layers[1].name)
    assert 0 < found.max_logit_difference < 1e-5


def test_what_can_not_be_computed_again_is_told(analyst: Analyst) -> None:
    trace = analyst.trace("Not for every place.")
    other = recorded(analyst, replace(trace, model=replace(trace.model, id="elsewhere")))
    with pytest.raises(UnknownModelError, match="choose from: switch-mini-8"):
        analyst.recompute(other)
    short = Analyst(analyst.registry, analyst.recorder, 3)
    with pytest.raises(TextTooLongError, match="the limit is 3"):
        short.recompute(recorded(analyst, trace))
    with pytest.raises(RunNotFoundError):
        analyst.recompute("0" * 32)


def test_other_weights_are_told(analyst: Analyst) -> None:
    trace = analyst.trace("Of another revision.")
    old = replace(
        trace,
        model=replace(trace.model, revision="0123456789abcdef"),
        provenance={**trace.provenance, "libraries": {"torch": "1.0"}},
    )
    found = analyst.recompute(recorded(analyst, old))
    assert found.identical
    assert f"weights 0123456789abcdef → {trace.model.revision}" in found.environment
    assert any(each.startswith("torch 1.0 → ") for each in found.environment)


def test_threads_and_places_make_no_other_analysis(loaded: LoadedModel) -> None:
    trace = capture(loaded, "One analysis.", 512)
    key = analysis_key(trace)
    assert trace.provenance["python"].count(".") == 2
    more = {**trace.provenance, "threads": trace.provenance["threads"] + 1}
    assert analysis_key(replace(trace, provenance=more)) == key
    sequence = replace(trace.sequences["encoder"], offsets=None)  # type: ignore[arg-type]
    assert analysis_key(replace(trace, sequences={"encoder": sequence})) == key
    assert analysis_key(replace(trace, provenance={**more, "dtype": "bfloat16"})) != key


class TestPlaces:
    def test_of_a_text_and_a_target(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, target="Il dort."), 512)
        for stack, text in (("encoder", TEXT), ("decoder", "Il dort.")):
            sequence = trace.sequences[stack]  # type: ignore[index]
            assert sequence.offsets[-1].tolist() == [-1, -1], "</s> stands for nothing"
            for token, (begin, end) in zip(sequence.tokens, sequence.offsets, strict=True):
                spelt = token.strip("▁")
                if begin >= 0 and spelt and not token.startswith("<0x"):
                    assert text[begin:end].strip() == spelt
            covered = {
                c for begin, end in sequence.offsets if begin >= 0 for c in range(begin, end)
            }
            assert covered == set(range(len(text)))
        assert trace.sequences["decoder"].offsets[0].tolist() == [-1, -1], "the start token"

    def test_bytes_of_one_character_share_its_place(self, loaded: LoadedModel) -> None:
        sequence = capture(loaded, "a 🎉", 512).sequences["encoder"]
        places = sequence.offsets[[token.startswith("<0x") for token in sequence.tokens]]
        assert places.tolist() == [[2, 3]] * 4

    def test_generated_tokens_have_none(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task("Go on", generation=Generation(3)), 512)
        assert (trace.sequences["decoder"].offsets == -1).all()
        assert (trace.sequences["encoder"].offsets[:2] >= 0).all()

    def test_two_tokenizers_are_aligned_by_them(
        self, loaded: LoadedModel, tiny_switch: Callable[..., Path]
    ) -> None:
        text = "naïve 🎉"
        one, other = capture(loaded, text, 512), capture(load(tiny_switch(), "tiny"), text, 512)
        (part,) = compare(one, other).stacks
        assert part.relation == "other"
        assert part.alignment.method == BY_PLACE
        assert not len(part.alignment.only_a)
        assert not len(part.alignment.only_b)
        ends = part.alignment.pairs[-1]
        assert ends.tolist() == [
            len(one.sequences["encoder"]) - 1,
            len(other.sequences["encoder"]) - 1,
        ]
