"""Networks as torch modules."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from oamip_model import read_network
from oamip_model.network.maps import AveragePool, ChannelScale, Conv2d, Dense, Identity, MaxPool
from oamip_model.network.types import IMAGE, Layer, Network, Term
from oamip_model.pruning import to_module
from oamip_model.pruning.check import expected_logits
from oamip_model.torchnet.maps.average_pool import SeparableAverage, average_pool_module
from oamip_model.torchnet.max_pool import max_pool_module

Case = tuple[str, nn.Module, tuple[int, ...]]


def test_rebuilt_modules_are_the_network_and_read_back_as_it(case: Case, network_of: Any) -> None:
    name, _, shape = case
    network = network_of(name)
    rebuilt = to_module(network)
    images = np.random.default_rng(0).standard_normal((20, *shape)).astype(np.float32)
    want = network.replay(images)
    with torch.no_grad():
        np.testing.assert_allclose(rebuilt(torch.tensor(images)), want, atol=1e-5)
    again = read_network(rebuilt, shape)
    np.testing.assert_allclose(again.replay(images), want, atol=1e-5)
    if name not in ("shared", "tied"):  # each use of shared weights is a module of its own
        assert [g.producers for g in again.groups] == [g.producers for g in network.groups]
        assert again.parameters == sum(p.numel() for p in rebuilt.parameters())


def test_rebuilding_keeps_dotted_names_and_moves_taken_ones_aside() -> None:
    def dense(name: str, source: int, outputs: int = 2) -> Layer:
        weight = np.arange(1.0, 2 * outputs + 1).reshape(outputs, 2)
        return Layer(name, (Term(Dense(weight), source, (2,), name),), np.ones(outputs), (outputs,), "relu")

    names = ["body.0", "body.0.inner", "body.0", "forward", "", "/net/Gemm"]
    layers = tuple(dense(name, index - 1 if index else IMAGE) for index, name in enumerate(names))
    network = Network((2,), layers, ())
    module = to_module(network)
    assert expected_logits(network).difference(module) < 1e-6
    assert isinstance(module.get_submodule("body.0"), nn.Linear)
    assert len(set(module.paths.values())) == len(names)


def test_maps_that_torch_has_no_layer_for_are_rebuilt() -> None:
    random = np.random.default_rng(0)
    uneven = Conv2d(random.standard_normal((3, 1, 3, 3)), stride=(2, 1), padding=(0, 2, 1, 1))
    shape = uneven.output_shape((1, 6, 5))
    rows, columns = random.uniform(size=(2, shape[1])), random.uniform(size=(3, shape[2]))
    layers = (
        Layer("conv", (Term(uneven, IMAGE, (1, 6, 5), "conv"),), random.standard_normal(3), shape, "relu"),
        Layer("norm", (Term(ChannelScale(np.array([1.0, -2, 0.5])), 0, shape, "norm"),), np.ones(3), shape, "relu"),
        Layer("sum", (Term(Identity(), 0, shape), Term(Identity(), 1, shape)), np.array([0.0, 1, -1]), shape, "relu"),
        Layer("mean", (Term(AveragePool(rows, columns), 2, shape),), np.zeros(3), (3, 2, 3)),
        Layer("fc", (Term(Dense(random.standard_normal((2, 18))), 3, (18,), "fc"),), np.ones(2), (2,)),
    )
    network = Network((1, 6, 5), layers, ())
    assert expected_logits(network).difference(to_module(network)) < 1e-6


@pytest.mark.parametrize("pool", [
    nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(4, 3, 2, True),
    nn.AvgPool2d((2, 3), (3, 2), (1, 0), True, False), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((3, 2)),
    nn.AdaptiveAvgPool2d((4, 9)),
])  # fmt: skip
def test_average_pools_are_found_again(pool: nn.Module) -> None:
    shape = (2, 8, 9)
    size = pool(torch.zeros(1, *shape)).flatten().numel()
    read = read_network(nn.Sequential(pool, nn.Flatten(), nn.Linear(size, 2)).eval(), shape)
    map = next(t.map for layer in read.layers for t in layer.terms if isinstance(t.map, AveragePool))
    module = average_pool_module(map)
    assert isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d)
    x = torch.randn(3, *shape)
    torch.testing.assert_close(module(x), pool(x))


def test_average_with_other_weights_is_a_product_of_matrices() -> None:
    pool = AveragePool(np.array([[0.2, 0.8, 0, 0]]), np.array([[0.5, 0.5, 0], [0, 0.1, 0.9]]))
    module = average_pool_module(pool)
    assert isinstance(module, SeparableAverage)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(module(torch.tensor(x)), pool.apply(x), atol=1e-6)


def test_max_pools_of_every_geometry_are_equal() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 7, 8))
    for kernel, stride, top, bottom, dilation in product((2, 3), (1, 2, 3), (0, 1), (0, 1), (1, 2)):
        span = dilation * (kernel - 1) + 1
        rows = (7 + top + bottom - span) // stride + 1
        columns = (8 - span) // stride + 1
        pool = MaxPool((kernel, kernel), (stride, stride), (top, 0, bottom, 0), (dilation, dilation), (rows, columns))
        module = max_pool_module(pool, (3, 7, 8))
        np.testing.assert_allclose(module(torch.tensor(x)).numpy(), pool.apply(x))


def test_a_network_with_spatial_logits_is_flattened() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten()).eval()
    network = read_network(module, (1, 4, 4))
    assert expected_logits(network).difference(to_module(network)) < 1e-6
