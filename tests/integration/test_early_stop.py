"""A pass ends at the last router that is asked for, and leaves the library as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import output_capturing

from app.routing.capture import capture, capture_batch, run_ids
from app.routing.loaded import LoadedModel
from app.routing.task import Generation, Task
from tests.models_page import outcome

LIMIT = 512
TEXT = "The river bank was closed on Sunday; 14 of us waited."
TARGET = "La rive était fermée dimanche."
FAMILIES = ("mixtral", "qwen3_moe", "gpt_oss", "granitemoe", "deepseek_v3", "llama4", "dbrx")


@contextmanager
def watching(loaded: LoadedModel) -> Iterator[list[str]]:
    """Names of the modules that finish, in order."""
    ran: list[str] = []
    with ExitStack() as hooks:
        for name, module in loaded.model.named_modules():
            handle = module.register_forward_hook(lambda *_, name=name: ran.append(name))
            hooks.callback(handle.remove)
        yield ran


def last_router(loaded: LoadedModel, stack: str) -> str:
    return [site.name for site in loaded.sites if site.stack == stack][-1]


class TestWhatRuns:
    def test_nothing_after_the_encoders_last_router(self, loaded: LoadedModel) -> None:
        with watching(loaded) as ran:
            capture(loaded, TEXT, LIMIT)
        assert ran[-1] == last_router(loaded, "encoder")
        assert not [name for name in ran if name.startswith(("decoder", "lm_head"))]
        assert "encoder.final_layer_norm" not in ran
        before = ran[-1].replace("block.5", "block.3").replace("router", "experts")
        assert before in ran
        assert ran[-1].replace("router", "experts") not in ran

    def test_with_a_target_the_encoder_runs_to_its_end(self, loaded: LoadedModel) -> None:
        with watching(loaded) as ran:
            capture(loaded, Task(TEXT, TARGET), LIMIT)
        assert "encoder" in ran
        assert "encoder.block.5.layer.1.mlp.experts" in ran
        assert ran[-1] == last_router(loaded, "decoder")
        assert "decoder.block.5.layer.2.mlp.experts" not in ran

    def test_a_whole_pass_runs_all(self, loaded: LoadedModel) -> None:
        with watching(loaded) as ran, torch.inference_mode():
            outputs = run_ids(loaded, [[5, 6, 1]], [], whole=True)
        assert ran[-1] == "encoder"
        assert len(outputs) == len(loaded.first_stack)

    def test_a_generation_runs_all(self, loaded: LoadedModel) -> None:
        with watching(loaded) as ran:
            capture(loaded, Task(TEXT, generation=Generation(2)), LIMIT)
        assert "encoder" in ran
        assert ran.count("lm_head") == 3


def whole(loaded: LoadedModel) -> dict[str, Any]:
    """What the library itself answers."""
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    with torch.inference_mode():
        answer = loaded.model(input_ids=ids, decoder_input_ids=ids, output_router_logits=True)
    recorded = (*answer.encoder_router_logits, *answer.decoder_router_logits)
    return {"logits": answer.logits, "routers": recorded}


class TestWhatIsLeft:
    def test_the_librarys_own_forward_is_the_same_afterwards(self, loaded: LoadedModel) -> None:
        before = whole(loaded)
        for task in (TEXT, Task(TEXT, TARGET)):
            capture(loaded, task, LIMIT)
        after = whole(loaded)
        assert torch.equal(before["logits"], after["logits"])
        assert len(before["routers"]) == len(after["routers"]) == len(loaded.sites)
        for one, other in zip(before["routers"], after["routers"], strict=True):
            assert torch.equal(one, other)

    def test_nothing_of_the_librarys_state_stays(self, loaded: LoadedModel) -> None:
        def state() -> tuple[Any, ...]:
            hooks = sum(len(m._forward_hooks) for m in loaded.model.modules())
            config = loaded.model.config.to_dict()
            return hooks, config, output_capturing._active_collector.get(), torch.is_grad_enabled()

        before = state()
        capture(loaded, TEXT, LIMIT)
        capture_batch(loaded, [Task(TEXT, TARGET), Task("One.", "Two.")], LIMIT)
        assert state() == before
        assert before[2] is None
        assert not loaded.lock.locked()
        assert not torch.is_inference_mode_enabled()

    def test_generation_and_batches_go_on_working(self, loaded: LoadedModel) -> None:
        task = Task(TEXT, generation=Generation(4))
        made = capture(loaded, task, LIMIT)
        alone = capture(loaded, TEXT, LIMIT)
        (batched, _) = capture_batch(loaded, [TEXT, "Two words."], LIMIT)
        assert capture(loaded, task, LIMIT) == made
        assert capture(loaded, TEXT, LIMIT) == alone
        for one, other in zip(alone.layers, batched.layers, strict=True):
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)

    def test_an_error_of_the_model_is_not_swallowed(self, loaded: LoadedModel) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("the model failed")

        handle = loaded.model.encoder.block[0].register_forward_hook(fail)
        try:
            with pytest.raises(RuntimeError, match="the model failed"):
                capture(loaded, TEXT, LIMIT)
        finally:
            handle.remove()
        assert not loaded.lock.locked()
        capture(loaded, TEXT, LIMIT)


@pytest.mark.parametrize("package", FAMILIES)
def test_other_families_give_the_same_with_and_without(package: str) -> None:
    loaded = outcome(package)
    assert isinstance(loaded, LoadedModel)
    ids = loaded.tokenizer(TEXT)["input_ids"]
    with watching(loaded) as ran, torch.inference_mode():
        stopped = run_ids(loaded, [ids], [])
    with watching(loaded) as all_of_it, torch.inference_mode():
        complete = run_ids(loaded, [ids], [], whole=True)
    assert len(ran) < len(all_of_it)
    for one, other in zip(stopped, complete, strict=True):
        assert torch.equal(one.logits, other.logits)
        assert torch.equal(one.experts, other.experts)
