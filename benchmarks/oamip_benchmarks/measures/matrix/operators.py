"""Modules of torch for each operator that is linear or piecewise linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape: TypeAlias = tuple[int, ...]


class Calls(nn.Module):
    """A module whose forward pass is one function of its parts and the image."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        """The function of the image."""
        return self.function(self, x)


def of_image(
    function: Callable[..., Tensor], features: int, shape: Shape = (2, 6, 6), **parts: nn.Module
) -> tuple[nn.Module, Shape]:
    """A function between a convolution with a ReLU, and a linear layer."""
    kinds: dict[int, Callable[..., nn.Module]] = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}
    conv = kinds[len(shape)](shape[0], 3, 3, padding=1)
    parts = {"conv": conv, "fc": nn.Linear(features, 3), **parts}
    return Calls(lambda s, x: s.fc(function(s, F.relu(s.conv(x))).flatten(1)), **parts), shape


def of_vector(function: Callable[..., Tensor], features: int, **parts: nn.Module) -> tuple[nn.Module, Shape]:
    """A function of a vector between two linear layers."""
    return Calls(lambda s, x: s.b(function(s, s.a(x))), a=nn.Linear(5, 6), b=nn.Linear(features, 3), **parts), (5,)


MEAN, PIXELS = torch.tensor([0.4, 0.6]).view(1, 2, 1, 1), torch.linspace(0.1, 0.9, 72).view(1, 2, 6, 6)
MOVES: dict[str, Callable[[], tuple[nn.Module, Shape]]] = {
    "permute to the last axis": lambda: of_image(lambda s, x: x.permute(0, 2, 3, 1), 108),
    "transpose and back": lambda: of_image(lambda s, x: F.relu(x.transpose(1, 3) - 0.1).transpose(1, 3), 108),
    "transpose of space": lambda: of_image(lambda s, x: s.two(x.transpose(2, 3)), 32, two=nn.Conv2d(3, 2, 3)),
    "slice": lambda: of_image(lambda s, x: x[:, 1:, ::2, -3:], 18),
    "select": lambda: of_image(lambda s, x: x[:, 0], 36),
    "chunk and sum": lambda: of_vector(lambda s, x: sum((F.relu(part) for part in x.chunk(3, 1)), x[:, :1]), 2),
    "split and cat": lambda: of_image(lambda s, x: torch.cat(x.split([1, 2], 1)[::-1], 1), 108),
    "cat of channels": lambda: of_image(lambda s, x: torch.cat([x, s.two(x)], 1), 180, two=nn.Conv2d(3, 2, 1)),
    "cat of space": lambda: of_image(lambda s, x: torch.cat([x, 2 * x], 3), 216),
    "cat with the image": lambda: (
        Calls(lambda s, x: s.b(torch.cat([F.relu(s.a(x)), x], 1)), a=nn.Linear(5, 6), b=nn.Linear(11, 3)), (5,)
    ),
    "stack": lambda: of_vector(lambda s, x: torch.stack([x, F.relu(x)], 2).flatten(1), 12),
    "index": lambda: of_image(lambda s, x: x[:, [2, 0]], 72),
    "flip and roll": lambda: of_image(lambda s, x: x.flip(3).roll(1, 2), 108),
    "repeat": lambda: of_image(lambda s, x: x.repeat(1, 2, 1, 1), 216),
    "expand": lambda: of_image(lambda s, x: x.mean(3, keepdim=True).expand(-1, -1, -1, 2), 36),
    "squeeze": lambda: of_image(lambda s, x: x.mean((2, 3), keepdim=True).squeeze(), 3),
    "pixel shuffle": lambda: of_image(lambda s, x: s.two(x), 36, two=nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1),
                                                                                   nn.PixelShuffle(2))),
    "pixel unshuffle": lambda: of_image(lambda s, x: F.pixel_unshuffle(x, 2), 108),
    "channel shuffle": lambda: of_image(
        lambda s, x: F.relu(s.two(x.view(-1, 3, 1, 6, 6).transpose(1, 2).reshape(-1, 3, 6, 6))), 108,
        two=nn.Conv2d(3, 3, 1)),
    "reflection": lambda: of_image(lambda s, x: F.pad(x, (1, 2, 0, 1), "reflect"), 189),
    "padding of channels": lambda: of_image(lambda s, x: F.pad(x, (0, 0, 0, 0, 1, 2)), 216),
    "padding by a number": lambda: of_image(lambda s, x: F.pad(x, (1, 1), value=0.5), 144),
    "cropping": lambda: of_image(lambda s, x: F.pad(x, (-1, -2, 1, 0)), 63),
}  # fmt: skip
LINEAR: dict[str, Callable[[], tuple[nn.Module, Shape]]] = {
    "normalised by channel": lambda: (nn.Sequential(
        Calls(lambda s, x: (x - MEAN.to(x)) / (MEAN.to(x) + 0.1)), nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(48, 3)), (2, 6, 6)),
    "normalised by pixel": lambda: (nn.Sequential(
        Calls(lambda s, x: (x - PIXELS.to(x)) * PIXELS.to(x)), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(108, 3)), (2, 6, 6)),
    "difference": lambda: of_vector(lambda s, x: F.relu(s.c(x)) - 2 * x, 6, c=nn.Linear(6, 6)),
    "1 - x, -x, alpha": lambda: of_vector(lambda s, x: torch.add(1 - x, -F.relu(x), alpha=2), 6),
    "sum over channels": lambda: of_image(lambda s, x: x.sum(1), 36),
    "mean over channels and width": lambda: of_image(lambda s, x: x.mean((1, 3)), 6),
    "broadcast addition": lambda: of_image(lambda s, x: x + x.mean((2, 3), keepdim=True), 108),
    "linear on the last axis": lambda: of_image(lambda s, x: F.relu(s.two(x)), 72, two=nn.Linear(6, 4)),
    "linear on channels last": lambda: of_image(
        lambda s, x: s.three(F.relu(s.two(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2), 72,
        two=nn.Linear(3, 4), three=nn.Linear(4, 2)),
    "matrix on the left": lambda: of_image(lambda s, x: s.two.weight @ x, 72, two=nn.Linear(6, 4)),
    "conv1d": lambda: of_image(lambda s, x: F.max_pool1d(F.avg_pool1d(x, 2), 2), 6, (2, 9), ),
    "conv1d with batch norm": lambda: of_image(lambda s, x: s.two(x), 28, (2, 9), two=nn.Sequential(
        nn.Conv1d(3, 4, 3, dilation=1), nn.BatchNorm1d(4), nn.ReLU(), nn.AdaptiveAvgPool1d(7))),
    "conv3d": lambda: of_image(lambda s, x: F.max_pool3d(F.relu(s.two(x)), (1, 2, 2)), 24, (1, 3, 5, 4),
                               two=nn.Conv3d(3, 6, 2, groups=3, stride=(1, 1, 1))),
    "pooling in 3d": lambda: of_image(lambda s, x: F.avg_pool3d(x, 2, padding=1), 81, (1, 4, 4, 4)),
    "transposed convolution": lambda: of_image(
        lambda s, x: F.relu(s.two(x)), 128 + 160, two=nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1,
                                                                         output_padding=1)),
    "transposed convolution in groups": lambda: of_image(
        lambda s, x: s.two(x), 3 * 2 * 100, two=nn.ConvTranspose2d(3, 6, 3, dilation=2, groups=3)),
    "transposed conv1d": lambda: of_image(lambda s, x: s.two(x), 36, (2, 9), two=nn.ConvTranspose1d(3, 2, 2, stride=2)),
    "upsampling nearest": lambda: of_image(lambda s, x: s.two(F.interpolate(x, scale_factor=2)), 200,
                                           two=nn.Conv2d(3, 2, 3)),
    "upsampling bilinear": lambda: of_image(
        lambda s, x: F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=False), 189),
    "upsampling with corners": lambda: of_image(
        lambda s, x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), 432),
    "einsum of channels": lambda: of_image(lambda s, x: torch.einsum("bchw,oc->bohw", x, s.two.weight), 144,
                                           two=nn.Linear(3, 4)),
    "einsum over space": lambda: of_image(lambda s, x: torch.einsum("...w,ow->...o", x, s.two.weight), 72,
                                          two=nn.Linear(6, 4)),
    "a matrix for each channel": lambda: of_image(lambda s, x: F.relu(x @ s.two.weight.view(3, 6, 4)), 72,
                                                  two=nn.Linear(6, 12)),
    "feature map as output": lambda: (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)), (2, 6, 6)),
}  # fmt: skip
BENT: dict[str, Callable[[], tuple[nn.Module, Shape]]] = {
    "clamp": lambda: of_vector(lambda s, x: x.clamp(min=0), 6),
    "relu6": lambda: of_image(lambda s, x: F.relu6(5 * x), 108),
    "hardtanh": lambda: of_vector(lambda s, x: F.hardtanh(x, -0.3, 0.4), 6),
    "leaky relu": lambda: of_vector(lambda s, x: F.leaky_relu(x, 0.1), 6),
    "prelu": lambda: of_image(lambda s, x: s.two(x - 0.2), 108, two=nn.PReLU(3)),
    "abs": lambda: of_vector(lambda s, x: x.abs(), 6),
    "maximum": lambda: of_vector(lambda s, x: torch.maximum(x, s.c(x)), 6, c=nn.Linear(6, 6)),
    "minimum": lambda: of_vector(lambda s, x: torch.minimum(x, s.c(x)), 6, c=nn.Linear(6, 6)),
    "hard sigmoid": lambda: of_vector(lambda s, x: F.hardsigmoid(3 * x), 6),
    "global max pooling": lambda: of_image(lambda s, x: F.adaptive_max_pool2d(x, 1), 3),
    "largest of a row": lambda: of_image(lambda s, x: x.amax(3), 18),
    "smallest of channels": lambda: of_image(lambda s, x: x.min(1)[0], 36),
    "clamped from above": lambda: of_vector(lambda s, x: x.clamp(max=0.2), 6),
    "masked": lambda: of_image(lambda s, x: x.masked_fill(PIXELS[0, 0] > 0.4, 0.5), 108),
    "chosen": lambda: of_image(lambda s, x: torch.where(PIXELS[0, 0] > 0.4, x, -x), 108),
}
OPERATORS = {**MOVES, **LINEAR, **BENT}
