"""Switch encoder blocks in one step each, computed with packed weights.

The library's block calls some fifteen small modules, which for a short text takes longer than
what they compute. Queries, keys and values are one product here, the attention is torch's own
fused one, experts take their tokens in one piece each. Router and weights are the library's,
under the names that they have there; the results differ by rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersBlock,
    SwitchTransformersExperts,
)

from app.routing.packed import PackedLinear

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
        attending, feeding = self.layer
        attention, norm = attending.SelfAttention, attending.layer_norm
        batch, length, size = hidden.shape
        if bias is None:
            bias = self._bias(length) + mask
        normed = torch.rms_norm(hidden, (size,), norm.weight, norm.variance_epsilon)
        joined = self.qkv(normed).view(batch, length, 3, self.heads, self.width)
        queries, keys, values = joined.permute(2, 0, 3, 1, 4).unbind()
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
        hidden = hidden + attention.o(mixed.transpose(1, 2).reshape(batch, length, -1))
        norm = feeding.layer_norm
        normed = torch.rms_norm(hidden, (size,), norm.weight, norm.variance_epsilon)
        fed = feeding.mlp(normed) if feeding.is_sparse else _run(feeding.mlp, normed)
        return hidden + fed, bias, None

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
        outputs = [
            _run(expert, part)
            for expert, part in zip(self.experts, parts, strict=True)
            if len(part)
        ]
        result = torch.zeros_like(hidden)
        return result.index_copy_(0, order, torch.cat(outputs) * weights[order])


def _run(dense: Any, tokens: Tensor) -> Tensor:
    output: Tensor = dense.wo(dense.act(dense.wi(tokens)))
    return output


def flatten(model: PreTrainedModel, dtype: torch.dtype) -> int:
    """Replaces a Switch model's encoder blocks and all its experts; gives the bytes it packed.

    Other models stay as they are. `dtype` is that of the packed weights.
    """
    size = 0
    for holder in list(model.modules()):
        for name, module in list(holder.named_children()):
            if type(module) is SwitchTransformersExperts:
                setattr(holder, name, GroupedExperts(module).eval())
            elif type(module) is SwitchTransformersBlock and not module.is_decoder:
                flat = FlatBlock(module, dtype).eval()
                setattr(holder, name, flat)
                size += flat.qkv.in_features * flat.qkv.out_features * dtype.itemsize
    return size
