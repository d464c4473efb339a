"""Random crops and reflections of images, for training."""

from __future__ import annotations

import torch
from torch import nn

PADDING = 4


def crop_and_flip(batch: torch.Tensor) -> torch.Tensor:
    """The images, each moved by up to 4 pixels each way, half of them mirrored.

    They have the shape (n, channels, height, width).

    Zeros come in where an image was moved away. The numbers are drawn by torch's generator of the CPU, so that they do
    not depend on the device.

    Examples
    --------
    >>> crop_and_flip(torch.ones(5, 1, 8, 8)).shape
    torch.Size([5, 1, 8, 8])
    """
    count, _, height, width = batch.shape
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count, 1))
    flip = torch.rand(count, 1) < 0.5
    across = torch.arange(width)
    rows = (top + torch.arange(height)).to(batch.device)
    columns = (left + torch.where(flip, across.flip(0), across)).to(batch.device)
    padded = nn.functional.pad(batch, (PADDING,) * 4)
    images = torch.arange(count, device=batch.device)[:, None, None]
    # Advanced indices on both sides of a slice put the channels last.
    return padded[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
