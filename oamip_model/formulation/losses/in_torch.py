"""Losses that are stated in numpy alone, called from torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from oamip_model.formulation.losses.base import Loss


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, loss: Loss, margin: float) -> Tensor:
        o, y = logits.detach().double().cpu().numpy(), labels.cpu().numpy()
        o, y, shape = o.reshape(-1, o.shape[-1]), y.reshape(-1), logits.shape
        ctx.slopes = torch.as_tensor(loss.slopes(o, y, margin)).to(logits).reshape(shape)
        return torch.as_tensor(loss.values(o, y, margin)).to(logits).reshape(shape[:-1])

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.slopes * given[0][..., None], None, None, None


def values(loss: Loss, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """See :meth:`oamip_model.formulation.losses.base.Loss.torch_values`."""
    found: Tensor = _Values.apply(logits, labels.expand(logits.shape[:-1]), loss, margin)  # type: ignore[no-untyped-call]
    return found


def total(loss: Loss, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
    """See :meth:`oamip_model.formulation.losses.base.Loss.torch_sum`."""
    o, y = logits.detach().double().cpu().numpy(), labels.cpu().numpy()
    return float(loss.values(o, y, margin).sum()), torch.as_tensor(loss.slopes(o, y, margin)).to(logits)
