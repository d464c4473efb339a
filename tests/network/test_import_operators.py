"""Every operator that is linear or piecewise linear: the module's own logits."""

import numpy as np
import pytest
import torch
from oamip_benchmarks.measures.matrix import files
from oamip_benchmarks.measures.matrix.operators import OPERATORS

import oamip_model as om


@pytest.mark.parametrize("case", OPERATORS)
def test_a_module_gives_its_own_logits(case: str) -> None:
    module, shape = files.made(case)
    network = om.read_network(module, shape)
    images = torch.randn(4, *shape, dtype=torch.float64)
    with torch.no_grad():
        wanted = module.double()(images).flatten(1).numpy()
    np.testing.assert_allclose(network.replay(images.numpy()), wanted, rtol=1e-5, atol=1e-6)
