"""Fast mode: never silent, and refused where it would not be faster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from app.analysis import analysis_key
from app.recording.content import params
from app.routing import packing
from app.routing.agreement import TEXTS
from app.routing.capture import capture, capture_batch
from app.routing.errors import ModelLoadError
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.routing.packed import PackedLinear, can_pack
from app.routing.probes import probe_task
from app.settings import BUNDLED_MODEL, ModelSpec, load_settings
from tests.architectures import ARCHITECTURES
from tests.conftest import byte_tokenizer

FAST = f"{BUNDLED_MODEL}@fast"
TEXT = "The river bank was muddy, and the bank in town was closed."
LIMIT = 512

computes_in_bfloat16 = pytest.mark.skipif(
    not can_pack(torch.bfloat16), reason="this processor does not compute in bfloat16"
)


def get(folder: Path, name: str = "tiny@fast") -> LoadedModel:
    spec = ModelSpec(name, str(folder), local=True, fast=True)
    return ModelRegistry({name: spec}, "float32", threads=1).get(name, wait=120)


@pytest.fixture(scope="module")
def fast() -> LoadedModel:
    settings = load_settings(MOESCOPE_MODEL=FAST)
    registry = ModelRegistry(settings.model_specs(), settings.dtype, settings.threads)
    return registry.get(FAST, wait=120)


@computes_in_bfloat16
class TestFast:
    def test_its_name_its_note_and_its_provenance_say_so(self, fast: LoadedModel) -> None:
        assert fast.identity.id == FAST
        told = fast.provenance["fast"]
        assert told["format"] == "bfloat16 linear layers"
        assert 0.95 < told["agreement"] <= 1
        tokens = sum(2 * len(fast.tokenizer(text)["input_ids"]) + 1 for text in TEXTS)
        assert told["choices"] == 3 * tokens
        assert fast.provenance["dtype"] == "float32 with bfloat16 linear layers"
        assert len(fast.notes) == 1
        assert f"of {told['choices']:,} expert choices are those of float32" in fast.notes[0]

    def test_trace_and_run_say_so(self, fast: LoadedModel) -> None:
        trace = capture(fast, TEXT, LIMIT)
        assert trace.provenance["notes"] == list(fast.notes)
        written = params(trace)
        assert written["model"] == FAST
        assert written["fast.format"] == "bfloat16 linear layers"
        assert float(written["fast.agreement"]) == fast.provenance["fast"]["agreement"]
        assert int(written["fast.choices"]) == fast.provenance["fast"]["choices"]

    def test_it_is_another_analysis_than_the_exact_one(
        self, fast: LoadedModel, loaded: LoadedModel
    ) -> None:
        one, other = capture(fast, TEXT, LIMIT), capture(loaded, TEXT, LIMIT)
        assert analysis_key(one) != analysis_key(other)
        assert "fast" not in other.provenance
        assert "notes" not in other.provenance
        for a, b in zip(one.layers, other.layers, strict=True):
            assert 0 < np.abs(a.logits - b.logits).max() < 0.3

    def test_the_share_that_it_tells_is_that_of_its_choices(
        self, fast: LoadedModel, loaded: LoadedModel
    ) -> None:
        same = total = 0
        for text in TEXTS:
            task = probe_task(fast, text)
            for a, b in zip(
                capture(fast, task, LIMIT).layers, capture(loaded, task, LIMIT).layers, strict=True
            ):
                same += int((a.experts == b.experts).sum())
                total += len(a.experts)
        assert abs(same / total - fast.provenance["fast"]["agreement"]) < 2e-3

    def test_routers_stay_as_they_are(self, fast: LoadedModel) -> None:
        for site in fast.sites:
            assert not any(isinstance(part, PackedLinear) for part in site.module.modules())
            assert site.module.classifier.weight.dtype is torch.float32

    def test_batches_and_generation(self, fast: LoadedModel) -> None:
        told = fast.provenance["fast"]
        assert fast.batches
        assert told["agreement_in_batches"] >= told["agreement"] - 0.005
        assert fast.generates
        batch = capture_batch(fast, [TEXT, "One."], LIMIT)
        assert [len(trace.layers) for trace in batch] == [3, 3]

    def test_experts_that_are_one_tensor_are_refused(self, tmp_path: Path) -> None:
        ARCHITECTURES["mixtral"].build().save_pretrained(tmp_path)
        byte_tokenizer().save_pretrained(tmp_path)
        with pytest.raises(ModelLoadError, match="fast mode would not be faster"):
            get(tmp_path)


def test_a_processor_without_bfloat16_is_refused(
    tiny_switch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "can_pack", lambda dtype: dtype is torch.float32)
    with pytest.raises(ModelLoadError, match="fast mode needs a processor") as refusal:
        get(tiny_switch())
    assert len(str(refusal.value).splitlines()) == 1


def test_the_librarys_own_bfloat16_is_not_silent(
    loaded_bf16: LoadedModel, loaded: LoadedModel
) -> None:
    assert loaded_bf16.provenance["dtype"] == "bfloat16"
    assert any("runs in bfloat16" in note for note in loaded_bf16.notes)
    assert not any(isinstance(module, PackedLinear) for module in loaded_bf16.model.modules())
    assert loaded.notes == ()
