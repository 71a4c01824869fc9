"""Reading a Switch router, which models are refused, and how the registry loads them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

from app.routing.capture import capture
from app.routing.errors import ModelLoadError, ModelNotReadyError, UnknownModelError
from app.routing.models import ModelRegistry
from app.routing.routers.base import RouterOutput
from app.routing.routers.switch import check_library, read_output
from app.settings import ModelSpec


@pytest.mark.parametrize("version", ["4.57.1", "5.0.0", "5.17.0", "5.17.9", "5.18.0.dev0"])
def test_libraries_that_route_wrongly_are_refused(version: str) -> None:
    with pytest.raises(ModelLoadError, match=rf"transformers {version} .* install 5\.18 or newer"):
        check_library(version)


@pytest.mark.parametrize("version", ["5.18", "5.18.0", "5.23.0", "6.0.0"])
def test_libraries_that_route_rightly_are_taken(version: str) -> None:
    check_library(version)


class TestReadOutput:
    """Three tokens of two experts, room for one each: the last token finds expert 1 full."""

    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [-1.0, 3.0]]])
    dispatch = torch.tensor([[[1, 0], [0, 1], [0, 0]]])
    top = logits.softmax(-1).max(-1, keepdim=True).values

    def read(self) -> RouterOutput:
        return read_output(self.logits, self.dispatch, self.top, torch.float32, 1)

    def test_a_dropped_token_keeps_the_expert_it_asked_for(self) -> None:
        output = self.read()
        assert output.dropped.tolist() == [False, False, True]
        # The argmax of the dispatch mask would say expert 0 for the dropped token.
        assert self.dispatch.argmax(-1).tolist() == [[0, 1, 0]]
        assert output.experts.tolist() == [[0], [1], [1]]
        assert output.capacity == 1

    def test_a_dropped_token_has_no_weight(self) -> None:
        weights = self.read().weights
        assert weights[2].item() == 0
        assert torch.equal(weights[:2], self.top[0, :2])

    def test_probabilities_are_the_softmax_of_the_logits(self) -> None:
        output = self.read()
        e = torch.e
        assert output.probabilities[0].tolist() == pytest.approx(
            [e**2 / (e**2 + 1), 1 / (e**2 + 1)]
        )
        assert torch.equal(output.logits, self.logits[0])

    def test_in_bfloat16_a_near_tie_goes_to_the_first_as_in_the_library(self) -> None:
        # The second expert is ahead by less than bfloat16 can tell.
        logits = torch.tensor([[[0.0, 1e-3]]])
        mask, top = torch.tensor([[[1, 0]]]), torch.tensor([[[0.5]]])
        assert read_output(logits, mask, top, torch.float32, 9).experts.item() == 1
        assert read_output(logits, mask, top, torch.bfloat16, 9).experts.item() == 0


LONG = 60.0


@pytest.fixture(scope="module")
def tiny(tiny_switch: Callable[..., Path]) -> Path:
    return tiny_switch()


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """A tiny model's folder of one's own, to be spoilt."""
    return Path(shutil.copytree(tiny, tmp_path / "broken"))


def registry(**folders: Path) -> ModelRegistry:
    specs = {name: ModelSpec(name, str(folder), local=True) for name, folder in folders.items()}
    return ModelRegistry(specs, "float32", threads=1)


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def without_a_router(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.block.1.layer.1.mlp.router.classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def garbled_config(folder: Path) -> None:
    (folder / "config.json").write_text("{ not json")


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def larger_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(folder)


def dense_t5(folder: Path) -> None:
    config = T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(folder)


class TestRegistry:
    def test_the_first_is_the_default_and_is_loaded_once(self, tiny: Path) -> None:
        models = registry(tiny=tiny)
        assert models.default == "tiny"
        assert models.status("tiny").state == "unloaded"
        assert models.loaded("tiny") is None
        with ThreadPoolExecutor(8) as threads:
            got = list(threads.map(lambda _: models.get("tiny", LONG), range(8)))
        assert all(one is got[0] for one in got)
        status = models.status("tiny")
        assert (status.state, status.detail, status.seconds) == ("ready", "", 0)
        size = (tiny / "model.safetensors").stat().st_size
        assert (status.done_bytes, status.total_bytes) == (size, size)

    def test_the_identity_changes_with_weights_and_configuration(
        self, tiny: Path, broken: Path
    ) -> None:
        def revision(folder: Path) -> str:
            return registry(m=folder).get("m", LONG).identity.revision

        same = revision(broken)
        assert same == revision(tiny)
        config = (broken / "config.json").read_text()
        assert '"expert_capacity": 64' in config
        (broken / "config.json").write_text(config.replace('_capacity": 64', '_capacity": 3'))
        assert revision(broken) != same

    def test_without_waiting_it_says_that_it_loads(self, tiny: Path) -> None:
        models = registry(tiny=tiny)
        with pytest.raises(ModelNotReadyError, match="tiny is still loading"):
            models.get("tiny")
        assert models.get("tiny", LONG).identity.id == "tiny"

    def test_an_unknown_id_is_refused_with_what_there_is(self, tiny: Path) -> None:
        models = registry(one=tiny, two=tiny)
        for ask in (models.get, models.status, models.start_loading):
            with pytest.raises(UnknownModelError, match="choose from: one, two"):
                ask("../../etc")

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (without_a_router, r"lacks 1 weights, first encoder\.block\.1\.layer\.1\.mlp\.router"),
            (without_weights, "holds no weights"),
            (dense_t5, "it has no routers: T5ForConditionalGeneration is a dense model"),
            (cut_weights, "incomplete metadata"),
            (garbled_config, "config.json.* not a valid JSON file"),
            (without_tokenizer, r"holds no tokenizer \(.*tokenizer\.json\)"),
            (larger_tokenizer, "tokenizer has 260 tokens, the model knows 259"),
        ],
    )
    def test_a_failing_model_says_why_and_leaves_the_others(
        self, tiny: Path, broken: Path, spoil: Callable[[Path], None], said: str
    ) -> None:
        spoil(broken)
        models = registry(good=tiny, bad=broken)
        before = capture(models.get("good", LONG), "a text", 99)
        with pytest.raises(
            ModelLoadError, match=rf"the model bad can't be used: .*{said}"
        ) as caught:
            models.get("bad", LONG)
        assert len(str(caught.value).splitlines()) == 1
        assert models.status("bad").state == "failed"
        assert models.status("bad").detail in str(caught.value)
        assert models.loaded("bad") is None
        assert capture(models.get("good"), "a text", 99) == before

    def test_asking_without_waiting_gets_the_reason_too(self, broken: Path) -> None:
        cut_weights(broken)
        models = registry(bad=broken)
        models.start_loading("bad")
        end = time.monotonic() + LONG
        while models.status("bad").state == "loading" and time.monotonic() < end:
            time.sleep(0.01)
        for _ in range(3):
            with pytest.raises(ModelLoadError, match="bad can't be used"):
                models.get("bad")

    def test_a_repaired_model_can_be_loaded_after_all(self, tiny: Path, broken: Path) -> None:
        cut_weights(broken)
        models = registry(m=broken)
        with pytest.raises(ModelLoadError):
            models.get("m", LONG)
        shutil.copy(tiny / "model.safetensors", broken)
        models.start_loading("m")
        assert models.get("m", LONG).identity.id == "m"
