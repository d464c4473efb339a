"""Which units carry a score, and that a score of 0 is the same as taking the unit out of the module."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om

relu = functional.relu


class Residual(nn.Module):
    """A block that adds its input, then one that adds a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv3, self.project = nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.Conv2d(3, 5, 1, stride=2)
        self.fc = nn.Linear(5 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.stem(x))
        x = relu(x + self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return self.fc(relu(self.conv3(x) + self.project(x)).flatten(1))


class Preactivation(nn.Module):
    """Residual addition of pre-activations; every branch normalises and rectifies for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv(relu(self.bn1(x)))
        return self.fc(relu(self.bn2(x)).mean((2, 3)))


class Separable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.depthwise = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.pointwise, self.fc = nn.Conv2d(4, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.pointwise(relu(self.depthwise(relu(self.conv(x))))))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Shared(nn.Module):
    """One dense layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(relu(self.twice(relu(self.twice(relu(self.first(x)))))))


class ReluBeforeNorm(nn.Module):
    """Batch norm behind the ReLU becomes part of fc2: a unit that is set to 0 leaves its constant in fc2's bias."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn, self.fc2, self.fc3 = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(relu(self.fc2(self.bn(relu(self.fc1(x))))))


class Leaking(nn.Module):
    """The units of fc1 are also read without a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.fc1(x)
        return self.fc4(relu(self.fc2(a) + self.fc3(relu(a))))


class MixedPooling(nn.Module):
    """The units of a dense layer become pixels, and are pooled over."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 16), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.max_pool2d(relu(self.fc1(x)).view(-1, 1, 4, 4), 2).flatten(1))


class TiedNeurons(nn.Module):
    """A depthwise convolution ties all the neurons that make one channel of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.depthwise, self.fc2 = nn.Linear(4, 8), nn.Conv2d(2, 2, 1, groups=2), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(relu(self.depthwise(relu(self.fc1(x)).view(-1, 2, 2, 2))).flatten(1))


class AddsTheImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 3, 3), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(relu(self.conv2(relu(x + self.conv1(x)))).flatten(1))


def _sequential() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(4, 5, 2, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3),
    )  # fmt: skip


def _relu_norm(padding: int) -> nn.Module:
    """With padding, the zeros around the second convolution are not shifted by the batch norm."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, padding=padding), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3),
    )  # fmt: skip


# What belongs to the units of each group, in order: modules that make them, and batch norms that they go through.
SCORED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, tuple[str, ...]]]] = {
    "sequential": (_sequential, (1, 8, 8), {"3": ("0", "1"), "4": ("4",), "8": ("8", "9")}),
    "residual": (
        Residual,
        (1, 6, 6),
        {"stem": ("stem", "conv2", "bn2"), "conv1": ("conv1", "bn1"), "conv3": ("conv3", "project")},
    ),
    "pre-activation": (Preactivation, (1, 6, 6), {"bn1": ("stem", "conv", "bn1", "bn2")}),
    "separable": (Separable, (1, 6, 6), {"conv": ("conv", "depthwise"), "pointwise": ("pointwise",)}),
    "shared": (Shared, (4,), {"first": ("first", "twice")}),
    "relu before norm": (ReluBeforeNorm, (4,), {"fc1": ("fc1",), "fc2": ("fc2",)}),
    "relu before norm and padding": (lambda: _relu_norm(1), (1, 6, 6), {"3": ("3",)}),
    "relu before norm, no padding": (lambda: _relu_norm(0), (1, 6, 6), {"0": ("0",), "3": ("3",)}),
    "leaking": (Leaking, (4,), {"fc2": ("fc2", "fc3")}),
    "mixed pooling": (MixedPooling, (4,), {}),
    "tied neurons": (TiedNeurons, (4,), {}),
    "adds the image": (AddsTheImage, (2, 4, 4), {"conv2": ("conv2",)}),
}


def _trained(case: str) -> nn.Module:
    torch.manual_seed(1)
    module = SCORED[case][0]().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.weight, part.bias):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


@pytest.mark.parametrize("case", SCORED)
def test_groups_are_the_units_that_can_be_removed(case: str) -> None:
    _, shape, owners = SCORED[case]
    network = om.read_network(_trained(case), shape)
    normalising = {name for name, part in _trained(case).named_modules() if hasattr(part, "running_mean")}
    wanted = {name: {p for p in parts if p not in normalising} for name, parts in owners.items()}
    assert {group.name: set(group.producers) for group in network.groups} == wanted
    for number, group in enumerate(network.groups):
        gated = [index for index, layer in enumerate(network.layers) if layer.group == number]
        assert gated == list(group.layers)
        assert network.layers[gated[0]].name == group.name
        for index in gated:
            layer = network.layers[index]
            assert layer.activation == "relu"
            assert layer.units is not None
            assert np.array_equal(layer.units, np.repeat(np.arange(group.size), layer.size // group.size))


@pytest.mark.parametrize("case", SCORED)
def test_score_of_zero_is_the_unit_taken_out(case: str) -> None:
    _, shape, owners = SCORED[case]
    module = _trained(case)
    network = om.read_network(module, shape)
    random = np.random.default_rng(0)
    images = random.normal(size=(5, *shape))
    scores = {group.name: random.integers(0, 2, group.size).astype(float) for group in network.groups}
    with torch.no_grad():
        for name, parts in owners.items():
            removed = torch.from_numpy(scores[name] == 0)
            for part in map(module.get_submodule, parts):
                part.weight[removed] = 0.0
                if part.bias is not None:
                    part.bias[removed] = 0.0
        wanted = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(network.replay(images, scores), wanted, atol=1e-9)


def test_dense_unit_saves_its_row_its_bias_and_its_columns() -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3)).eval()
    first, second = om.read_network(module).groups
    assert first.parameters.tolist() == [4 + 1 + 6] * 5
    assert second.parameters.tolist() == [5 + 3] * 6
    assert (first.divisor, second.divisor) == (5, 6)


def test_filter_saves_its_columns_at_every_position_behind_a_flatten() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4)).eval()
    (group,) = om.read_network(module, (2, 4, 4)).groups
    assert group.parameters.tolist() == [2 * 4 + 1 + 9 * 4] * 3
    assert group.divisor == 3 * 2 * 2


def test_savings_are_the_difference_between_two_networks() -> None:
    """A network with one unit less in a group has that many parameters less."""

    class Block(nn.Module):
        def __init__(self, tied: int, inner: int) -> None:
            super().__init__()
            self.stem, self.down = nn.Conv2d(1, tied, 3, padding=1), nn.Conv2d(tied, inner, 3, padding=1)
            self.up, self.fc = nn.Conv2d(inner, tied, 3, padding=1), nn.Linear(tied * 16, 3)
            self.depthwise = nn.Conv2d(tied, tied, 3, padding=1, groups=tied)

        def forward(self, x: Tensor) -> Tensor:
            x = relu(self.stem(x))
            return self.fc(relu(self.depthwise(relu(x + self.up(relu(self.down(x)))))).flatten(1))

    full, less_tied, less_inner = (om.read_network(Block(*n).eval(), (1, 4, 4)) for n in ((5, 4), (4, 4), (5, 3)))
    savings = {group.name: group.parameters for group in full.groups}
    # Both layers that are added have biases, but a layer of this package keeps their sum.
    assert set(savings["stem"]) == {full.parameters - less_tied.parameters}
    assert set(savings["down"]) == {full.parameters - less_inner.parameters}


def test_output_layer_carries_no_score() -> None:
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert om.read_network(module, (1, 5, 5)).groups == ()
