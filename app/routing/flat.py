"""Switch encoder blocks in one step each, computed with packed weights.

The library's block calls some fifteen small modules, which for a short text takes longer than
what they compute. Queries, keys and values are one product here, the attention is torch's own
fused one, experts take their tokens in one piece each. Router and weights are the library's,
under the names that they have there; the results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersBlock,
    SwitchTransformersExperts,
)

from app.routing.packed import PackedLinear, packers

_REACH = 512


class FlatBlock(nn.Module):
    """What an encoder's `SwitchTransformersBlock` computes, for inference in float32."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention = block.layer[0].SelfAttention
        self.heads, self.width = attention.n_heads, attention.key_value_proj_dim
        joined = nn.Linear(attention.d_model, 3 * attention.inner_dim, bias=False, device="meta")
        parts = [getattr(attention, name).weight.detach() for name in "qkv"]
        joined.weight = nn.Parameter(torch.cat(parts), requires_grad=False)
        for name in "qkv":
            delattr(attention, name)
        self.qkv = PackedLinear(joined, dtype)
        self.layer = block.layer
        # By distance between two tokens, [heads, 2·reach − 1]; made by the first block only.
        self._biases: Tensor | None = None

    def forward(
        self, hidden: Tensor, mask: Tensor, bias: Tensor | None = None, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor, None]:
        """`hidden` [B, S, H], additive `mask` [B, 1, 1, S]; the first block makes the `bias`.

        The bias that it gives on holds the mask already, unlike the library's.
        """
        batch, length, size = hidden.shape
        before, out, after, feed = self._parts
        if bias is None:
            bias = self._bias(length) + mask
        normed = torch.rms_norm(hidden, (size,), *before)
        joined = self.qkv(normed).view(batch, length, 3, self.heads, self.width)
        queries, keys, values = joined.permute(2, 0, 3, 1, 4).unbind()
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
        hidden = hidden + out(mixed.transpose(1, 2).reshape(batch, length, -1))
        fed = feed(torch.rms_norm(hidden, (size,), *after))
        return hidden + fed, bias, None

    @cached_property
    def _parts(self) -> tuple[Any, ...]:
        """What a pass needs of the library's modules, which are slow to ask: the norms' weights
        and epsilons, the layer after the attention, and what follows it."""
        attending, feeding = self.layer
        one, other = attending.layer_norm, feeding.layer_norm
        return (
            (one.weight, one.variance_epsilon),
            attending.SelfAttention.o,
            (other.weight, other.variance_epsilon),
            feeding.mlp if feeding.is_sparse else _dense(feeding.mlp),
        )

    def _bias(self, length: int) -> Tensor:
        """The bias of each head for each pair of places [heads, S, S], as `compute_bias` gives
        it: it depends on the places' distance alone, so all distances are looked up once."""
        attention = self.layer[0].SelfAttention
        if self._biases is None or self._biases.shape[1] < 2 * length - 1:
            reach = max(length, _REACH)
            buckets = attention._relative_position_bucket(
                torch.arange(1 - reach, reach),
                num_buckets=attention.relative_attention_num_buckets,
                max_distance=attention.relative_attention_max_distance,
            )
            self._biases = attention.relative_attention_bias(buckets).t().contiguous()
        middle = self._biases.shape[1] // 2
        near = self._biases[:, middle + 1 - length : middle + length]
        return near.unfold(1, length, 1).flip(1)


class GroupedExperts(nn.Module):
    """What `SwitchTransformersExperts` computes, for inference: tokens sorted by expert once."""

    def __init__(self, experts: SwitchTransformersExperts) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts.values())

    def forward(self, hidden: Tensor, dispatch: Tensor, weights: Tensor) -> Tensor:
        """`hidden` [T, H], `dispatch` one-hot [T, 1, E] (zero for a dropped token), `weights`
        [T, 1]; gives [T, H], zero for a dropped token."""
        mask = dispatch[:, 0].t()
        # Row by row, so by expert, and within one in order of the sequence.
        order = mask.nonzero()[:, 1]
        parts = hidden[order].split_with_sizes(mask.sum(dim=1).tolist())
        outputs = [run(part) for run, part in zip(self._runs, parts, strict=True) if len(part)]
        result = torch.zeros_like(hidden)
        return result.index_copy_(0, order, torch.cat(outputs) * weights[order])

    @cached_property
    def _runs(self) -> list[Callable[[Tensor], Tensor]]:
        return [_dense(expert) for expert in self.experts]


def _dense(dense: Any) -> Callable[[Tensor], Tensor]:
    """A `SwitchTransformersDenseActDense` as one function; dropout is for training."""
    into, act, out = dense.wi, dense.act, dense.wo
    if isinstance(into, PackedLinear) and isinstance(out, PackedLinear) and type(act) is nn.ReLU:
        return lambda tokens: out(into.rectified(tokens))
    return lambda tokens: out(act(into(tokens)))


def flatten(model: PreTrainedModel, dtype: torch.dtype) -> int:
    """Replaces a Switch model's encoder blocks and all its experts; gives the bytes it packed.

    Other models stay as they are. `dtype` is that of the packed weights.
    """
    found = [
        (holder, name, module)
        for holder in model.modules()
        for name, module in holder.named_children()
    ]
    for holder, name, module in found:
        if type(module) is SwitchTransformersExperts:
            setattr(holder, name, GroupedExperts(module).eval())

    def flat(place: tuple[nn.Module, str, nn.Module]) -> int:
        holder, name, block = place
        made = FlatBlock(block, dtype).eval()
        setattr(holder, name, made)
        return made.qkv.in_features * made.qkv.out_features * dtype.itemsize

    blocks = [p for p in found if type(p[2]) is SwitchTransformersBlock and not p[2].is_decoder]
    with packers() as pool:
        return sum(pool.map(flat, blocks))
