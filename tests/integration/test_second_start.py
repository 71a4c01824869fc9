"""What an earlier start found out about a model is used again, unless anything has changed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.routing import loading
from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.loading import load_model
from app.routing.packed import PackedLinear
from app.routing.task import Generation, Task
from app.routing.verdicts import Verdicts
from app.settings import BUNDLED_FOLDER, ModelSpec

TEXT = "The river bank was muddy, and the bank in town was closed."


class Starts:
    """Loads one folder again and again with one memory; counts the examinations."""

    def __init__(self, folder: Path, memory: Path) -> None:
        self.folder, self.memory = folder, memory
        self.examined = 0

    def load(self, **changes: Any) -> LoadedModel:
        spec = ModelSpec("m", str(self.folder), local=True, fast=changes.pop("fast", False))
        dtype = changes.pop("dtype", torch.float32)
        return load_model(spec, dtype, threading.Lock(), verdicts=Verdicts(self.memory))

    def verdict(self) -> Path:
        (found,) = self.memory.glob("verdict-*.json")
        return found


@pytest.fixture(scope="session")
def small(tiny_switch: Callable[..., Path]) -> Path:
    """A small model whose layers are just large enough to be packed."""
    return tiny_switch(d_model=64, d_kv=32, d_ff=128)


@pytest.fixture
def starts(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starts:
    """That model in a folder of its own, which may be changed."""
    made = Starts(Path(shutil.copytree(small, tmp_path / "m")), tmp_path / "memory")
    examine = loading.examine

    def counted(*arguments: Any) -> LoadedModel:
        made.examined += 1
        return examine(*arguments)

    monkeypatch.setattr(loading, "examine", counted)
    return made


def same(one: LoadedModel, other: LoadedModel) -> bool:
    """Whether two models were found to be the same, and route alike to the bit."""
    for name in ("identity", "provenance", "notes", "batches", "generates", "end_tokens"):
        assert getattr(one, name) == getattr(other, name), name
    assert len(one.sites) == len(other.sites)
    for a, b in zip(one.sites, other.sites, strict=True):
        for name in ("name", "stack", "block", "num_experts", "top_k", "capacity", "selection"):
            assert getattr(a, name) == getattr(b, name)
        assert type(a.reading) is type(b.reading)
    tasks = (Task(TEXT), Task(TEXT, "Le chat."), Task(TEXT, generation=Generation(3)))
    return all(capture(one, task, 512) == capture(other, task, 512) for task in tasks)


@pytest.mark.parametrize("fast", [False, True])
def test_a_second_start_examines_nothing_and_is_the_same(starts: Starts, fast: bool) -> None:
    if fast and not loading.can_pack(torch.bfloat16):
        pytest.skip("this processor does not compute in bfloat16")
    first = starts.load(fast=fast)
    assert starts.examined == 1
    second = starts.load(fast=fast)
    assert starts.examined == 1
    assert same(first, second)
    packed = [sum(isinstance(m, PackedLinear) for m in x.model.modules()) for x in (first, second)]
    assert packed[0] == packed[1] > 20


def test_the_bundled_model_is_remembered_too(tmp_path: Path) -> None:
    made = Starts(BUNDLED_FOLDER, tmp_path / "memory")
    assert same(made.load(), made.load())


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.final_layer_norm.weight"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(
        json.dumps(config | {"expert_capacity": 2}), encoding="utf-8"
    )


def change_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"][-1]["lstrip"] = not content["added_tokens"][-1]["lstrip"]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("change", [change_weights, change_config, change_tokenizer])
def test_what_has_changed_is_examined(starts: Starts, change: Callable[[Path], None]) -> None:
    starts.load()
    change(starts.folder)
    starts.load()
    assert starts.examined == 2
    starts.load()
    assert starts.examined == 2


def test_another_dtype_is_examined(starts: Starts) -> None:
    starts.load()
    starts.load(dtype=torch.bfloat16)
    assert starts.examined == 2


def test_other_code_examines_again(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    starts.load()
    monkeypatch.setattr(loading, "key_of", lambda _parts: "0" * 32)
    starts.load()
    assert starts.examined == 2


def no_json(content: dict[str, Any]) -> str:
    return json.dumps(content)[:-9]


def without_sites(content: dict[str, Any]) -> str:
    return json.dumps(content | {"sites": []})


def unknown_router(content: dict[str, Any]) -> str:
    content["sites"][0]["name"] = "encoder.block.0.nothing"
    return json.dumps(content)


def other_choices(content: dict[str, Any]) -> str:
    content["choices"] = [[[(e + 1) % 4 for e in t] for t in la] for la in content["choices"]]
    return json.dumps(content)


@pytest.mark.parametrize("spoil", [no_json, without_sites, unknown_router, other_choices])
def test_a_verdict_that_does_not_fit_is_not_believed(
    starts: Starts, spoil: Callable[[dict[str, Any]], str]
) -> None:
    first = starts.load()
    right = starts.verdict().read_bytes()
    starts.verdict().write_text(spoil(json.loads(right)), encoding="utf-8")
    again = starts.load()
    assert starts.examined == 2
    assert same(first, again)
    # And what is found then is kept instead.
    assert json.loads(starts.verdict().read_bytes()) == json.loads(right)


def test_a_place_that_cannot_be_written_is_no_hindrance(starts: Starts) -> None:
    starts.memory.write_text("a file where the folder should be", encoding="utf-8")
    assert same(starts.load(), starts.load())
    assert starts.examined == 2


def test_a_model_that_packing_would_change_runs_plain(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_choices = capture(starts.load(), TEXT, 512).layers[0].experts.tolist()
    shutil.rmtree(starts.memory)
    monkeypatch.setattr("app.routing.packing._same", lambda *_: False)
    for examined in (3, 3):
        loaded = starts.load()
        assert starts.examined == examined
        assert loaded.notes == (loading.NOT_PACKED,)
        assert not any(isinstance(module, PackedLinear) for module in loaded.model.modules())
        assert capture(loaded, TEXT, 512).layers[0].experts.tolist() == plain_choices
