"""The task of the comparison with other tools: the model's optimum is the largest logit over the box."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
import torch
from oamip_benchmarks.box import Box, box_instance, image_of
from torch import nn

import oamip_model as om
from oamip_model.solving.protocol import Options

DENSE = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (4,)
CONVOLUTIONAL = (
    nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)), (1, 3, 3)
)  # fmt: skip


@pytest.mark.parametrize("bounds", ["interval", "crown"])
@pytest.mark.parametrize(("module", "shape"), [DENSE, CONVOLUTIONAL])
def test_the_optimum_is_the_largest_logit(module, shape, bounds):
    torch.manual_seed(1)
    for layer in module:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    network = om.read_network(module.eval(), input_shape=shape)
    draw = np.random.default_rng(0)
    box = Box.around(draw.random(shape), 0.3, logit=1)
    before = network.replay(box.lower[None])
    instance = box_instance(network, box, bounds)
    arrays = om.compile_arrays(instance)
    solution = om.get_backend("highs").solve(arrays, Options(gap=1e-9))
    for data, value in zip(instance.component_data_objects(pyo.Var), solution.x, strict=True):
        data.set_value(value, skip_validation=True)
    found = image_of(instance, box)
    assert (found >= box.lower - 1e-9).all()
    assert (found <= box.upper + 1e-9).all()
    assert network.replay(found[None])[0, 1] == pytest.approx(-solution.objective, abs=1e-5)
    # No corner of the box, where a convex function is largest, and no image inside has more.
    size = box.lower.size
    corners = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    inside = draw.random((2000, size))
    images = box.lower.ravel() + np.concatenate([corners, inside]) * (box.upper - box.lower).ravel()
    assert network.replay(images.reshape(-1, *shape))[:, 1].max() <= -solution.objective + 1e-6
    # The network itself is as it was.
    np.testing.assert_array_equal(network.replay(box.lower[None]), before)
