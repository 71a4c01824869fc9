"""Packed linear layers compute what plain ones do; which layers are packed, and which are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from app.routing.packed import PackedLinear, can_pack, pack, packable

fast = pytest.mark.skipif(
    not can_pack(torch.bfloat16), reason="this processor does not compute in bfloat16"
)


def linear(size_in: int = 96, size_out: int = 64, bias: bool = True) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(size_in, size_out, bias=bias)


class TestPackedLinear:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("shape", [(96,), (1, 96), (33, 96), (2, 5, 96), (0, 96), (2, 0, 96)])
    def test_it_computes_the_same(self, shape: tuple[int, ...], bias: bool) -> None:
        plain = linear(bias=bias)
        inputs = torch.randn(shape)
        with torch.inference_mode():
            torch.testing.assert_close(PackedLinear(plain)(inputs), plain(inputs))

    def test_columns_that_lie_apart_are_no_matter(self) -> None:
        plain = linear()
        inputs = torch.randn(96, 7).t()
        with torch.inference_mode():
            torch.testing.assert_close(PackedLinear(plain)(inputs), plain(inputs))

    @fast
    def test_bfloat16_rounds_and_gives_float32(self) -> None:
        plain = linear()
        inputs = torch.randn(5, 96)
        with torch.inference_mode():
            outputs = PackedLinear(plain, torch.bfloat16)(inputs)
            torch.testing.assert_close(outputs, plain(inputs), atol=0.02, rtol=0.02)
        assert outputs.dtype is torch.float32
        assert not torch.equal(outputs, plain(inputs))

    def test_it_says_the_dtype_that_it_takes_and_holds_no_plain_weight(self) -> None:
        packed = PackedLinear(linear())
        assert packed.weight.dtype is torch.float32
        assert packed.weight.numel() == 0
        assert list(packed.parameters()) == []
        assert "in_features=96, out_features=64, torch.float32" in repr(packed)


class Odd(nn.Linear):
    """A subclass may compute something else."""


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = linear(64, 96)
        self.inner = nn.Sequential(linear(), nn.ReLU(), linear(64, 96))
        self.router = nn.Sequential(linear())
        self.small = nn.Linear(8, 8)
        self.odd = Odd(96, 64)
        self.halved = linear().bfloat16()
        self.embedding = nn.Embedding(64, 96)
        self.head = nn.Linear(96, 64, bias=False)
        self.head.weight = self.embedding.weight


def test_what_can_be_packed() -> None:
    model = Model()
    found = [(type(holder).__name__, name) for holder, name in packable(model, [model.router])]
    assert found == [("Model", "first"), ("Sequential", "0"), ("Sequential", "2")]


def test_packing_replaces_and_says_how_much() -> None:
    model = Model().eval()
    inputs = torch.randn(3, 64)
    with torch.inference_mode():
        before = model.inner(model.first(inputs))
        assert pack(packable(model, [model.router])) == 4 * 3 * 64 * 96
        torch.testing.assert_close(model.inner(model.first(inputs)), before)
    assert type(model.first) is type(model.inner[0]) is PackedLinear
    assert type(model.router[0]) is type(model.head) is nn.Linear
    assert packable(model, [model.router]) == []


def test_without_onednn_nothing_can_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_pack(torch.float64)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(torch.float32)
    assert not can_pack(torch.bfloat16)
