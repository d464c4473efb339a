"""ResNet-20, the residual network for small images."""

from __future__ import annotations

from torch import Tensor, nn

from oamip_model.training.vgg import he_initialised, scaled

_FILTERS = (16, 32, 64)
_BLOCKS = 3


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the shortcut.

    The shortcut is the input, or its 1x1 projection.
    """

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = he_initialised(nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False))
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu1 = nn.ReLU()
        self.conv2 = he_initialised(nn.Conv2d(filters, filters, 3, padding=1, bias=False))
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            project = he_initialised(nn.Conv2d(channels, filters, 1, stride, bias=False))
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(filters))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Activations of images (n, channels, height, width).

        They have the shape (n, filters, height / stride, width / stride).
        """
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.shortcut(x))  # type: ignore[no-any-return]


class ResNet20(nn.Module):
    """ResNet-20: three stages of three blocks after a 3x3 convolution.

    The stages have 16, 32 and 64 filters. A dense layer reads the mean over each channel. The
    first block of the second and third stage halves the image. Its shortcut is a projection (the
    paper's option B). The other option is a stride, with zeros in place of the new channels. It
    would tie each filter of a stage to one of the next. Then a stage's filters could not be removed
    on their own. The units of a stage are one group, since its additions tie them. The middle of
    each block is a group of its own.

    Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2016, section 4.2
    with n = 3.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of an image.
    classes : int
        Number of logits.
    width : float
        Factor on the filters.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: float) -> None:
        super().__init__()
        sizes = [scaled(size, width) for size in _FILTERS]
        self.conv1 = he_initialised(nn.Conv2d(shape[0], sizes[0], 3, padding=1, bias=False))
        self.bn1 = nn.BatchNorm2d(sizes[0])
        self.relu1 = nn.ReLU()
        channels = sizes[0]
        stages = []
        for index, size in enumerate(sizes):
            strides = (1 if index == 0 else 2, *(1,) * (_BLOCKS - 1))
            blocks = []
            for stride in strides:
                blocks.append(Block(channels, size, stride))
                channels = size
            stages.append(nn.Sequential(*blocks))
        self.stage1, self.stage2, self.stage3 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channels, height, width)."""
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc1(self.flatten(self.pool(x)))  # type: ignore[no-any-return]
