"""Small modules that are no mere chain of layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self, project: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        channels = 6 if project else 4
        self.conv1 = nn.Conv2d(4, 5, 3, padding=1, stride=2 if project else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(4, channels, 1, stride=2), nn.BatchNorm2d(channels)) if project else None
        )
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fc = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        x = functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))
        x = functional.relu(x + self.conv3(x))
        return self.fc(x.mean((2, 3)))


class NormAfterAddition(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 5, bias=False)
        self.norm = nn.BatchNorm1d(5)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.relu(self.norm(self.a(x) + self.b(x))))


class FixedView(nn.Module):
    """Its flattening has a size in it, which no longer fits once channels are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc1, self.fc2 = nn.Linear(4 * 9, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.view(-1, 36))))
