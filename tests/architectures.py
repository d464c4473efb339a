"""Small modules in the shape of well-known architectures, as torchvision and others write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


class DenseLayer(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1, self.conv1 = nn.BatchNorm2d(channels), nn.ReLU(inplace=True), conv(channels, 4, 1)
        self.norm2, self.relu2, self.conv2 = nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv(4, growth, 3)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.norm0 = conv(2, 4, 3), nn.BatchNorm2d(4)
        self.block1 = nn.ModuleList([DenseLayer(4, 2), DenseLayer(6, 2)])
        self.norm, self.conv, self.pool = nn.BatchNorm2d(8), conv(8, 4, 1), nn.AvgPool2d(2, 2)
        self.block2 = nn.ModuleList([DenseLayer(4, 2)])
        self.norm5, self.classifier = nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(self.block1, functional.relu(self.norm0(self.conv0(x))))
        x = self.pool(self.conv(functional.relu(self.norm(x))))
        x = functional.relu(self.norm5(self.dense(self.block2, x)), inplace=True)
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1))

    @staticmethod
    def dense(layers: nn.ModuleList, x: Tensor) -> Tensor:
        features = [x]
        for layer in layers:
            features.append(layer(features))
        return torch.cat(features, 1)


class Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_activation = conv(inputs, squeeze, 1, bias=True), nn.ReLU(inplace=True)
        self.expand1, self.expand1_activation = conv(squeeze, expand, 1, bias=True), nn.ReLU(inplace=True)
        self.expand3, self.expand3_activation = conv(squeeze, expand, 3, bias=True), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([self.expand1_activation(self.expand1(x)), self.expand3_activation(self.expand3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(4, 2, 3), Fire(6, 2, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True), Fire(6, 3, 4),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(8, 3, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


def bent(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    norm = nn.BatchNorm2d(outputs)
    return nn.Sequential(conv(inputs, outputs, kernel, stride, groups), norm, nn.ReLU6(inplace=True))


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, ratio: int) -> None:
        super().__init__()
        wide = inputs * ratio
        layers = [bent(inputs, wide, 1)] if ratio > 1 else []
        layers += [bent(wide, wide, 3, stride, wide), conv(wide, outputs, 1), nn.BatchNorm2d(outputs)]
        self.conv, self.adds = nn.Sequential(*layers), stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            bent(2, 4, 3, 2), Inverted(4, 3, 1, 1), Inverted(3, 4, 2, 2), Inverted(4, 4, 1, 2), bent(4, 6, 1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def twice(inputs: int, outputs: int) -> nn.Sequential:
    first = [conv(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, conv(outputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inc, self.down = twice(2, 3), nn.Sequential(nn.MaxPool2d(2), twice(3, 4))
        self.up, self.conv = nn.ConvTranspose2d(4, 3, 2, stride=2), twice(6, 3)
        self.outc = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.inc(x)
        return self.outc(self.conv(torch.cat([skipped, self.up(self.down(skipped))], 1)))


ARCHITECTURES = {"DenseNet": DenseNet, "SqueezeNet": SqueezeNet, "MobileNet": MobileNet, "U-Net": UNet}


def architecture(name: str) -> nn.Module:
    """A module by its name, with statistics in its batch norms that are not the initial ones."""
    torch.manual_seed(0)
    module = ARCHITECTURES[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
    return module.eval()
