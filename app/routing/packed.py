"""Linear layers whose weight is packed once, as oneDNN reads it fastest.

`nn.Linear` hands its weight over as rows, and the library underneath packs it anew at every
call: with a dozen tokens that takes longer than the product itself. A packed layer holds the
packed weight instead of the plain one, so memory stays as it was. Only for inference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

_PACKERS = 2
# Below it the product is so short that packing gains nothing.
_LEAST_ELEMENTS = 4096


class PackedLinear(nn.Module):
    """What an `nn.Linear` computes: float32 [..., in] → float32 [..., out].

    `dtype` is that of weight and product: float32, or bfloat16 with sums in float32. Its
    `weight` is a stand-in [0, in] without values, for code that asks for its dtype.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._dtype = None if dtype is torch.float32 else dtype
        self._product = torch.ops.mkldnn._linear_pointwise.default
        with torch.inference_mode():
            rows = linear.weight.detach().to(dtype)
            # Plain attributes, not buffers: nobody can save, move or convert what is packed.
            self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight.default(rows)
            self.bias = None if linear.bias is None else linear.bias.detach().to(dtype, copy=True)
        self.weight = torch.empty(0, self.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """The product, plus the bias if there is one."""
        product = self._made(inputs, "none")
        return product if self._dtype is None else product.float()

    def rectified(self, inputs: Tensor) -> Tensor:
        """The same with negative values set to zero in one step; stays in the packed type."""
        return self._made(inputs, "relu")

    def _made(self, inputs: Tensor, then: str) -> Tensor:
        rounded = inputs if self._dtype is None else inputs.to(self._dtype)
        product: Tensor = self._product(rounded, self._packed, self.bias, then, [], "")
        return product

    def extra_repr(self) -> str:
        dtype = self._dtype or torch.float32
        return f"in_features={self.in_features}, out_features={self.out_features}, {dtype}"


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this processor and build of torch take packed weights of that type.

    bfloat16 counts only where the processor computes in it: elsewhere it would be slower.
    """
    onednn: Any = torch.backends.mkldnn
    if not onednn.is_available() or not onednn.enabled:
        return False
    if dtype is not torch.bfloat16:
        return dtype is torch.float32
    if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packable(model: nn.Module, kept: Collection[nn.Module]) -> list[tuple[nn.Module, str]]:
    """The linear layers that can be packed, each as the module that holds it and its name there.

    Left out: everything inside the `kept` modules, what shares its weight with another
    module, subclasses of `nn.Linear`, other types than float32, and very small layers.
    """
    inside = {id(part) for module in kept for part in module.modules()}
    shared = _shared_weights(model)
    return [
        (holder, name)
        for holder in model.modules()
        for name, module in holder.named_children()
        if type(module) is nn.Linear
        and id(module) not in inside
        and module.weight.dtype is torch.float32
        and module.weight.device.type == "cpu"
        and module.weight.numel() >= _LEAST_ELEMENTS
        and module.weight.data_ptr() not in shared
    ]


def pack(places: list[tuple[nn.Module, str]], dtype: torch.dtype = torch.float32) -> int:
    """Replaces the layers by packed ones, freeing each plain weight; gives back their bytes."""

    def replace(place: tuple[nn.Module, str]) -> int:
        holder, name = place
        plain: Any = getattr(holder, name)
        setattr(holder, name, PackedLinear(plain, dtype).eval())
        return int(plain.weight.numel()) * dtype.itemsize

    with packers() as pool:
        return sum(pool.map(replace, places))


def packers() -> ThreadPoolExecutor:
    """Threads to pack in; packing waits for fresh memory more than it computes.

    Asked for its number of threads, a new thread takes over what torch was told to use;
    otherwise each of them would have oneDNN use all cores.
    """
    return ThreadPoolExecutor(_PACKERS, initializer=torch.get_num_threads)


def own_memory(model: nn.Module) -> None:
    """Copies what was not packed, so that the mapped files of weights are let go.

    A mapping stays whole, and counts as memory, while a single tensor still lies in it.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def give_back() -> None:
    """Hands memory that was freed back to the system, where the C library can do that.

    Plain weights that were read before they were packed would otherwise stay reserved.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _shared_weights(model: nn.Module) -> set[int]:
    """Addresses of weights that several modules use: tied heads and embeddings."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            address = parameter.data_ptr()
            (shared if address in seen else seen).add(address)
    return shared
