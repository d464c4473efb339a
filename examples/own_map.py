"""A linear map of your own: running sums along the rows of an image, with its operators of ONNX and of torch.

Run it with ``python examples/own_map.py``. Nothing in the package is touched. The map's forward pass in torch and the
functions that read its operators are registered. Then files and modules with it are read, bounded, scored, cut and
refitted. A package would offer them by entry points instead:

    [options.entry_points]
    oamip_model.maps =
        running-sum = my_package.maps:TorchRunningSum
    oamip_model.onnx_operators =
        CumSum = my_package.maps:read_onnx
    oamip_model.torch_operators =
        cumsum = my_package.maps:read_torch
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

import oamip_model as om
from oamip_model.network.maps import ChannelwiseMap
from oamip_model.network.readers.onnx.operators import register_onnx_operator
from oamip_model.network.readers.torch.operators import register_torch_operator
from oamip_model.torchnet.maps import register_map
from oamip_model.torchnet.maps.base import TorchMap


@dataclass(frozen=True)
class RunningSum(ChannelwiseMap):
    """Each number of a row is replaced by the sum of those up to it.

    A channel of the output is made from the channel at its place alone. That is all that counts, cuts and scores need
    to know, and the base class says it.
    """

    name: ClassVar[str] = "running-sum"

    def misfit(self, shape):
        """Why tensors of this shape cannot be read."""
        return None if len(shape) == 3 else "sums along the last of other axes than channels, height and width"

    def output_shape(self, shape):
        """That of the input."""
        return shape

    def apply(self, x):
        """The map in numpy, (n, channels, height, width)."""
        return np.cumsum(x, axis=-1)

    def matrix(self, shape):
        """The map as a sparse matrix over flat tensors."""
        one_row = sp.csr_array(np.tril(np.ones((shape[-1], shape[-1]))))
        return sp.csr_array(sp.kron(sp.eye_array(int(np.prod(shape[:-1]))), one_row))

    def magnitude(self):
        """The map with absolute weights, which these are."""
        return self

    @property
    def keeps_sign(self):
        """Sums of numbers from 0 on are from 0 on."""
        return True


class RunningSums(nn.Module):
    """The module of the map."""

    def forward(self, x):
        """Images (n, channels, height, width)."""
        return torch.cumsum(x, dim=3)


class TorchRunningSum(TorchMap[RunningSum]):
    """The map in torch."""

    name = "running-sum"

    def forward(self, map, x, tensor):
        """The map on (n, *shape)."""
        return torch.cumsum(x, dim=-1)

    def module(self, map, bias, shape):
        """A module that computes it."""
        return RunningSums()


def read_onnx(graph, call):
    """CumSum of ONNX, whose axis is its second input."""
    axes = call.axes(graph, call.integers(1, "axis"))
    if (
        axes != {len(graph.shape(call.tensor(0))) - 1}
        or call.attributes.get("exclusive")
        or call.attributes.get("reverse")
    ):
        raise call.error("sums in another way than along rows, each number with those before it")
    return graph.affine(call.name, call.tensor(0), RunningSum())


def read_torch(graph, call):
    """torch.cumsum, as torch.export writes it."""
    x = call.tensor("self")
    if call.arguments["dim"] % (len(graph.shape(x)) + 1) != len(graph.shape(x)):
        raise call.error("sums along another axis than rows")
    return graph.affine(call.name, x, RunningSum())


register_map(TorchRunningSum)
register_onnx_operator("CumSum", read_onnx)
register_torch_operator("cumsum", read_torch)


def make_module(seed: int = 4) -> nn.Module:
    """A network in which the map stands between two convolutions, and before a dense layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.ReLU(), RunningSums(), nn.Conv2d(3, 2, 2), nn.ReLU(), RunningSums(), nn.Flatten(),
        nn.Linear(8, 3),
    ).eval()  # fmt: skip


def main() -> None:
    """Read a network with the map from a module and from a file, score it, cut it and refit it."""
    module = make_module()
    network = om.read_network(module, (1, 4, 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(module, torch.zeros(1, 1, 4, 4), path, dynamo=False)
        print("the file holds the same network:", om.read_network(path).fingerprint == network.fingerprint)
    random = np.random.default_rng(0)
    images, labels = random.uniform(size=(3, 1, 4, 4)), np.array([0, 1, 2])
    formulation = om.Formulation(gate="switch", scores="binary", sparsity="mean", weight=50.0)
    instance = om.build_instance(network, images, labels, formulation, bounds="crown")
    solution = om.solve_instance(instance)
    print(
        f"{solution.status.value}: objective {solution.objective:.4f}, keeps {sum(map(sum, solution.scores.values()))}"
    )
    many = random.uniform(size=(200, 1, 4, 4))
    smaller, report = om.prune_with_report(
        module, {"0": [1.0, 0.0, 1.0], "3": [1.0, 0.0]}, threshold=0.5, network=network, refit="output", images=many
    )
    cut, *_, refitted = report.refit.stages
    print(f"parameters: {network.parameters}, then {om.read_network(smaller, (1, 4, 4)).parameters}")
    print(f"divergence from the trained network: {cut.loss:.4f}, refitted {refitted.loss:.4f}")


if __name__ == "__main__":
    main()
