"""Cross-entropy and the two router losses, each over valid tokens only.

The auxiliary loss that ships with the library concatenates all layers before it averages, so a
layer that overloads expert 3 hides another that starves it. Here each layer has its own loss and
the mean over layers (encoder and decoder alike) is taken at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def load_balancing_loss(logits: Tensor, valid: Tensor) -> Tensor:
    """N Σ f_i P_i of one layer; 1 at perfect balance (Switch, Fedus et al. 2021, eq. 4–6).

    ``logits`` [batch, tokens, N] raw router logits, ``valid`` [batch, tokens] true where there is
    a token and not padding. f_i is the share of valid tokens whose first choice is expert i
    (before capacity), P_i the mean probability of expert i.
    """
    rows = logits[valid].float()
    experts = rows.shape[-1]
    share = F.one_hot(rows.argmax(-1), experts).float().mean(0)
    return experts * (share * rows.softmax(-1).mean(0)).sum()


def z_loss(logits: Tensor, valid: Tensor) -> Tensor:
    """Mean of (logsumexp of the router logits)² (ST-MoE, Zoph et al. 2022, eq. 5); shapes as above.

    Keeps router logits small, where float32 and bfloat16 still tell them apart.
    """
    return logits[valid].float().logsumexp(-1).square().mean()


def mean_over_layers(values: Sequence[Tensor]) -> Tensor:
    """Mean of one scalar per router layer."""
    return torch.stack(list(values)).mean()


def cross_entropy(logits: Tensor, labels: Tensor, ignore: int = -100) -> Tensor:
    """Mean nats per target token; ``logits`` [batch, tokens, vocabulary], ``labels`` without
    the positions that equal ``ignore``."""
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=ignore)


def expert_load(logits: Tensor, valid: Tensor) -> Tensor:
    """Share of valid tokens whose first choice is each expert, [N], sums to 1."""
    first = logits[valid].argmax(-1)
    return torch.bincount(first, minlength=logits.shape[-1]).float() / max(1, first.numel())
