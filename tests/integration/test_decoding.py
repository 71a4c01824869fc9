"""The decoder: forced to a target, or generating; told token by token, and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from app.routing.capacity import over_capacity, with_capacity
from app.routing.capture import capture, capture_batch
from app.routing.errors import InvalidTaskError, InvalidTextError, TextTooLongError
from app.routing.loaded import LoadedModel
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from tests.conftest import load

LIMIT = 512
TEXT = "The river <extra_id_0> was closed on <extra_id_1>, and the town slept."
TARGET = "Le chat dort, et 2 + 2 = 4."


def rows(trace: RoutingTrace, stack: str = "decoder") -> list[np.ndarray]:
    return [layer.logits for layer in trace.layers if layer.stack == stack]


class TestForced:
    def test_the_decoder_reads_start_and_target(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, TARGET), LIMIT)
        assert trace.stacks == ("encoder", "decoder")
        assert (trace.target, trace.output) == (TARGET, None)
        assert trace.provenance["mode"] == "teacher-forced"
        ids = trace.sequences["decoder"].token_ids.tolist()
        assert ids == [0, *loaded.tokenizer(TARGET)["input_ids"]]
        assert not trace.sequences["decoder"].generated.any()
        assert [layer.block for layer in trace.stack_layers("decoder")] == [1, 3, 5]

    def test_agrees_with_the_librarys_own_router_logits(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, TARGET), LIMIT)
        with torch.inference_mode():
            answer = loaded.model(
                input_ids=torch.tensor([trace.sequences["encoder"].token_ids.tolist()]),
                decoder_input_ids=torch.tensor([trace.sequences["decoder"].token_ids.tolist()]),
                output_router_logits=True,
            )
        assert len(answer.decoder_router_logits) == len(rows(trace))
        for mine, theirs in zip(rows(trace), answer.decoder_router_logits, strict=True):
            np.testing.assert_allclose(mine, theirs[0].numpy(), atol=1e-4)

    def test_the_encoder_is_the_same_as_alone(self, loaded: LoadedModel) -> None:
        alone, both = capture(loaded, TEXT, LIMIT), capture(loaded, Task(TEXT, TARGET), LIMIT)
        for one, other in zip(rows(alone, "encoder"), rows(both, "encoder"), strict=True):
            assert np.array_equal(one, other)

    def test_padding_changes_nothing(self, scarce: LoadedModel) -> None:
        tasks = [Task(TEXT, TARGET), Task("One.", "Two, three, four, five, six, seven.")]
        for task, together in zip(tasks, capture_batch(scarce, tasks, LIMIT), strict=True):
            alone = capture(scarce, task, LIMIT)
            for a, b in zip(alone.layers, together.layers, strict=True):
                np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)
                assert a.dropped.tolist() == b.dropped.tolist()

    def test_it_survives_a_file(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, TARGET), LIMIT)
        assert RoutingTrace.from_bytes(trace.to_bytes()) == trace


class TestGenerated:
    def test_greedy_makes_what_the_library_makes(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, generation=Generation(12)), LIMIT)
        ids = torch.tensor([trace.sequences["encoder"].token_ids.tolist()])
        with torch.inference_mode():
            made = loaded.model.generate(input_ids=ids, max_new_tokens=12, eos_token_id=1)
        sequence = trace.sequences["decoder"]
        assert sequence.token_ids.tolist() == made[0].tolist()
        assert sequence.generated.tolist() == [False] + [True] * (len(sequence) - 1)
        assert trace.provenance["mode"] == "generated"
        assert trace.output == loaded.tokenizer.decode(made[0, 1:], skip_special_tokens=True)

    @pytest.mark.parametrize("sample", [False, True])
    def test_its_routing_is_that_of_the_same_tokens_forced(
        self, loaded: LoadedModel, sample: bool
    ) -> None:
        task = Task(TEXT, generation=Generation(20, do_sample=sample, seed=3))
        made = capture(loaded, task, LIMIT)
        ids = made.sequences["decoder"].token_ids.tolist()
        assert len(ids) > 3
        with torch.inference_mode():
            forced = loaded.model(
                input_ids=torch.tensor([made.sequences["encoder"].token_ids.tolist()]),
                decoder_input_ids=torch.tensor([ids]),
                output_router_logits=True,
            ).decoder_router_logits
        for layer, logits in zip(made.stack_layers("decoder"), forced, strict=True):
            np.testing.assert_allclose(layer.logits, logits[0].numpy(), atol=1e-3)
            assert layer.experts[:, 0].tolist() == logits[0].argmax(-1).tolist()

    def test_the_same_seed_gives_the_same_and_another_another(self, loaded: LoadedModel) -> None:
        def made(seed: int) -> list[int]:
            task = Task(TEXT, generation=Generation(16, do_sample=True, seed=seed))
            return capture(loaded, task, LIMIT).sequences["decoder"].token_ids.tolist()

        assert made(1) == made(1)
        assert len({tuple(made(seed)) for seed in range(4)}) > 1

    def test_every_token_is_told_and_the_last_is_the_result(self, loaded: LoadedModel) -> None:
        told: list[RoutingTrace] = []
        task = Task(TEXT, generation=Generation(6, do_sample=True, seed=1))
        trace = capture(loaded, task, LIMIT, lambda t: bool(told.append(t)))
        sizes = [len(t.sequences["decoder"]) for t in told]
        assert sizes == list(range(1, len(trace.sequences["decoder"]) + 1))
        assert told[-1] == trace
        for before, after in pairwise(told):
            for a, b in zip(rows(before), rows(after), strict=True):
                assert np.array_equal(a, b[:-1])

    def test_it_can_be_stopped(self, loaded: LoadedModel) -> None:
        task = Task(TEXT, generation=Generation(40, do_sample=True, seed=1))
        trace = capture(loaded, task, LIMIT, lambda t: len(t.sequences["decoder"]) == 4)
        assert len(trace.sequences["decoder"]) == 4
        assert trace.provenance["stopped"] is True

    def test_others_get_the_model_between_two_tokens(self, loaded: LoadedModel) -> None:
        task = Task(TEXT, generation=Generation(30, do_sample=True, seed=1))
        alone = capture(loaded, task, LIMIT)
        seen: list[RoutingTrace] = []
        begun, finished = threading.Event(), threading.Event()

        def others() -> None:
            begun.wait(20)
            seen.extend(capture(loaded, f"{TEXT} {n}", LIMIT) for n in range(5))
            finished.set()

        thread = threading.Thread(target=others)
        thread.start()

        def told(_trace: RoutingTrace) -> bool:
            begun.set()
            return False

        together = capture(loaded, task, LIMIT, told)
        thread.join(20)
        assert finished.is_set()
        assert together == alone
        assert seen == [capture(loaded, f"{TEXT} {n}", LIMIT) for n in range(5)]


class TestCapacity:
    LONG = "the old man and the sea " * 8

    def test_another_capacity_is_the_model_with_that_capacity(
        self, loaded: LoadedModel, scarce: LoadedModel
    ) -> None:
        asked, own = (
            capture(loaded, Task(self.LONG, capacity=2), LIMIT),
            capture(scarce, self.LONG, LIMIT),
        )
        for a, b in zip(asked.layers, own.layers, strict=True):
            assert a.dropped.tolist() == b.dropped.tolist()
            assert np.array_equal(a.logits, b.logits)
        assert asked.provenance["capacity"] == 2
        # And it is the model's own again afterwards.
        assert {layer.capacity for layer in capture(loaded, self.LONG, LIMIT).layers} == {64}

    def test_dropped_tokens_keep_the_expert_that_was_chosen(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(self.LONG, capacity=1), LIMIT)
        for layer in trace.layers:
            assert layer.dropped.any()
            assert layer.experts[:, 0].tolist() == layer.logits.argmax(axis=1).tolist()
            assert (layer.experts[layer.dropped, 0] != 0).any()
            assert (layer.weights[layer.dropped] == 0).all()

    def test_from_the_record_the_first_layer_is_exact(self, loaded: LoadedModel) -> None:
        recorded = capture(loaded, Task(self.LONG, TARGET), LIMIT)
        exact = capture(loaded, Task(self.LONG, TARGET, capacity=3), LIMIT)
        worked_out = with_capacity(recorded, 3)
        first = exact.layers[0]
        assert first.dropped.any()
        assert worked_out.layers[0].dropped.tolist() == first.dropped.tolist()
        np.testing.assert_allclose(worked_out.layers[0].weights, first.weights, atol=1e-6)
        assert "exact in the first" in worked_out.provenance["capacity_method"]

    def test_what_was_generated_with_a_cache_has_no_drops(self, loaded: LoadedModel) -> None:
        task = Task(self.LONG, generation=Generation(10, do_sample=True), capacity=1)
        made = capture(loaded, task, LIMIT)
        assert all(layer.dropped.any() for layer in made.stack_layers("encoder"))
        assert not any(layer.dropped.any() for layer in made.stack_layers("decoder"))
        again = with_capacity(capture(loaded, Task(TEXT, generation=Generation(5)), LIMIT), 1)
        assert not any(layer.dropped.any() for layer in again.stack_layers("decoder"))

    def test_first_come_first_served(self) -> None:
        dropped = over_capacity(np.array([0, 1, 0, 0, 1, 2]), 1)
        assert dropped.tolist() == [False, False, True, True, True, False]


@pytest.fixture(scope="module")
def decoder_only(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    from tests.architectures import ARCHITECTURES
    from tests.conftest import byte_tokenizer

    folder = tmp_path_factory.mktemp("mixtral")
    ARCHITECTURES["mixtral"].build().save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    return load(folder, "mixtral")


class TestDecoderOnly:
    def test_prompt_and_generated_tokens_are_told_apart(self, decoder_only: LoadedModel) -> None:
        prompt = capture(decoder_only, "Hello", LIMIT)
        assert (prompt.stacks, prompt.provenance["mode"]) == (("decoder",), "prompt")
        trace = capture(decoder_only, Task("Hello", generation=Generation(5)), LIMIT)
        sequence, count = trace.sequences["decoder"], len(prompt.sequences["decoder"])
        assert trace.stacks == ("decoder",)
        assert sequence.generated.tolist() == [False] * count + [True] * (len(sequence) - count)
        assert 1 <= len(sequence) - count <= 5
        for whole, first in zip(trace.layers, prompt.layers, strict=True):
            np.testing.assert_allclose(whole.logits[:count], first.logits, atol=1e-4)

    def test_a_tokenizer_without_padding_is_no_trouble(self, decoder_only: LoadedModel) -> None:
        assert decoder_only.tokenizer.pad_token_id is None
        texts = ["Hello there", "No"]
        for text, batched in zip(texts, capture_batch(decoder_only, texts, LIMIT), strict=True):
            for a, b in zip(capture(decoder_only, text, LIMIT).layers, batched.layers, strict=True):
                np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)

    def test_a_target_needs_an_encoder(self, decoder_only: LoadedModel) -> None:
        with pytest.raises(InvalidTaskError, match="needs a model with encoder and decoder"):
            capture(decoder_only, Task("Hello", "there"), LIMIT)

    def test_prompt_and_new_tokens_share_the_limit(self, decoder_only: LoadedModel) -> None:
        with pytest.raises(TextTooLongError, match="exceeds the limit of 20"):
            capture(decoder_only, Task("Hello", generation=Generation(18)), 20)

    def test_a_capacity_needs_one(self, decoder_only: LoadedModel) -> None:
        with pytest.raises(InvalidTaskError, match="no fixed capacity"):
            capture(decoder_only, Task("Hello", capacity=3), LIMIT)
        with pytest.raises(InvalidTaskError, match="no fixed capacity"):
            with_capacity(capture(decoder_only, "Hello", LIMIT), 3)


@pytest.mark.parametrize(
    ("task", "error", "said"),
    [
        (Task(TEXT, " "), InvalidTaskError, "target text is blank"),
        (Task(TEXT, "\ud83d"), InvalidTextError, "surrogate"),
        (Task(TEXT, "word " * 600), TextTooLongError, "the target text has"),
        (Task(TEXT, TARGET, Generation()), InvalidTaskError, "not both"),
        (Task(TEXT, generation=Generation(0)), InvalidTaskError, "from 1 to 512, not 0"),
        (Task(TEXT, generation=Generation(-3)), InvalidTaskError, "from 1 to 512, not -3"),
        (Task(TEXT, generation=Generation(513)), InvalidTaskError, "from 1 to 512, not 513"),
        (Task(TEXT, generation=Generation(10**40)), InvalidTaskError, "a number that large"),
        (Task(TEXT, generation=Generation(temperature=0)), InvalidTaskError, "temperature"),
        (Task(TEXT, generation=Generation(temperature=float("nan"))), InvalidTaskError, "temp"),
        (Task(TEXT, generation=Generation(top_p=1.5)), InvalidTaskError, "top_p"),
        (Task(TEXT, generation=Generation(seed=-1)), InvalidTaskError, "seed"),
        (Task(TEXT, capacity=0), InvalidTaskError, "capacity must be from 1"),
    ],
)
def test_bad_tasks_are_refused_in_a_line(
    loaded: LoadedModel, task: Task, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        capture(loaded, task, LIMIT)
    assert len(str(caught.value).splitlines()) == 1


def test_an_old_trace_file_opens() -> None:
    old = Path(__file__).parents[1] / "data" / "trace-format-1.npz"
    trace = RoutingTrace.from_bytes(old.read_bytes())
    assert (trace.text, trace.target, trace.output) == ("The river bank was closed.", None, None)
    assert not trace.sequences["encoder"].generated.any()
    assert {layer.selection for layer in trace.layers} == {"top-k"}


def test_a_tiny_switch_generates(tiny_switch: Callable[..., Path]) -> None:
    model = load(tiny_switch(), "tiny")
    assert model.generates
    trace = capture(model, Task("Hello", generation=Generation(7)), LIMIT)
    assert trace.sequences["decoder"].generated.sum() >= 1
