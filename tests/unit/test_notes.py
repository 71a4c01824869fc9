"""The sentences that say how a trace must be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.components.notes import notes
from app.routing.capacity import with_capacity
from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.task import Generation, Task
from tests.architectures import ARCHITECTURES
from tests.conftest import byte_tokenizer, load
from tests.unit.test_figures_kinds import routed

TEXT = "the old man and the sea and the old boat"
SOFTMAX = "Scores: softmax; experts chosen by top-k."


def test_the_encoder_alone_needs_one_sentence(loaded: LoadedModel) -> None:
    assert notes(capture(loaded, TEXT, 128)) == SOFTMAX


def test_a_target_is_teacher_forcing(loaded: LoadedModel) -> None:
    said = notes(capture(loaded, Task(TEXT, "Le chat dort."), 128))
    assert said == f"{SOFTMAX} The decoder reads the target text (teacher forcing)."


def test_generated_tokens_are_counted_and_the_cache_is_told(loaded: LoadedModel) -> None:
    trace = capture(loaded, Task(TEXT, generation=Generation(4, do_sample=True, seed=1)), 128)
    made = int(trace.sequences["decoder"].generated.sum())
    said = notes(trace)
    assert said.startswith(f"{SOFTMAX} {made} tokens generated, marked +")
    assert "nothing is over capacity in the decoder" in said
    assert "stopped" not in said


def test_a_stopped_generation_says_so(loaded: LoadedModel) -> None:
    task = Task(TEXT, generation=Generation(40, do_sample=True, seed=1))
    trace = capture(loaded, task, 128, lambda t: len(t.sequences["decoder"]) == 4)
    assert "3 tokens generated, stopped, marked +" in notes(trace)


@pytest.mark.parametrize(("capacity", "room"), [(1, "1 token "), (2, "2 tokens ")])
def test_another_capacity_run_exactly(loaded: LoadedModel, capacity: int, room: str) -> None:
    said = notes(capture(loaded, Task(TEXT, capacity=capacity), 128))
    assert said == f"{SOFTMAX} Run with room for {room}per expert instead of the model's own."


def test_another_capacity_worked_out(loaded: LoadedModel) -> None:
    trace = capture(loaded, TEXT, 128)
    said = notes(with_capacity(trace, 2))
    assert said.startswith(f"{SOFTMAX} What if there was room for 2 tokens per expert: ")
    assert "worked out from the recorded choices, exact in the first router layer" in said
    assert "Run with" not in said
    # Worked out of what was run with another capacity is still worked out.
    again = notes(with_capacity(capture(loaded, Task(TEXT, capacity=3), 128), 1))
    assert "room for 1 token per expert: worked out" in again
    assert "3 tokens" not in again


def test_scores_that_dont_sum_to_one() -> None:
    for score in ("sigmoid", "sqrt-softplus"):
        said = notes(routed(9, k=2, score=score))
        assert said.startswith(f"Scores: {score}; ")
        assert "These scores don't sum to 1 over the experts." in said
    assert "sum to 1" not in notes(routed(9, k=2))


def test_a_real_model_with_sigmoid_scores(tmp_path: Path) -> None:
    ARCHITECTURES["deepseek_v3"].build().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    model = load(tmp_path, "deepseek_v3")
    prompt = notes(capture(model, "Hello", 128))
    assert prompt.startswith("Scores: sigmoid; experts chosen by ")
    assert "don't sum to 1" in prompt
    made = notes(capture(model, Task("Hello", generation=Generation(3)), 128))
    assert "tokens generated, marked +" in made
    # There is no capacity to be over.
    assert "capacity" not in made
