"""Losses that are stated in numpy alone, called from torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

OfLogits: TypeAlias = Callable[[Any, Any, float], Any]
"""From logits (n, classes), labels (n,) and a margin to values (n,) or slopes (n, classes), in numpy."""


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, values: OfLogits, slopes: OfLogits, margin: float) -> Tensor:
        o, y = logits.detach().double().cpu().numpy(), labels.cpu().numpy()
        o, y, shape = o.reshape(-1, o.shape[-1]), y.reshape(-1), logits.shape
        ctx.slopes = torch.as_tensor(slopes(o, y, margin)).to(logits).reshape(shape)
        return torch.as_tensor(values(o, y, margin)).to(logits).reshape(shape[:-1])

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.slopes * given[0][..., None], None, None, None, None


def through_numpy(values: OfLogits, slopes: OfLogits, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The values (...) at logits (..., classes), with slopes as their gradients.

    Labels have the shape (...).
    """
    found: Tensor = _Values.apply(logits, labels.expand(logits.shape[:-1]), values, slopes, margin)  # type: ignore[no-untyped-call]
    return found
