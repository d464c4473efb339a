"""Products with constants along any axes: read by both readers, scored and cut, or refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from one_line import one_line
from torch import Tensor, nn

import oamip_model as om
from oamip_model.network.readers.torch.source import read_module

EQUATIONS = {
    "bchw,co->bohw": (3, 4), "bchw,hk->bckw": (4, 5), "bchw,chk->bckw": (3, 4, 2), "bchw,ck->bk": (3, 5),
    "...w,wo->...o": (4, 2), "bchw,chw->bc": (3, 4, 4), "bchw,chwo->bo": (3, 4, 4, 5), "bchw,whc->bhc": (4, 4, 3),
    "bchw,c->bhw": (3,), "bchw,ok->bchw": (2, 3), "bchw->bwh": (), "bchw->bhwc": (), "oc,bchw": (4, 3),
}  # fmt: skip
MATRICES = {"right": (3, 4, 5), "left": (3, 5, 4), "right with an axis of the batch": (1, 3, 4, 5),
            "right at new places": (2, 3, 4, 5)}  # fmt: skip


class Product(nn.Module):
    """A convolution and a ReLU, a product, a ReLU and a linear layer."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.conv = function, nn.Conv2d(2, 3, 1)
        self.weight = nn.Parameter(torch.randn(*shape))
        with torch.no_grad():
            features = self.bent(torch.zeros(2, 2, 4, 4)).shape[1]
        self.fc = nn.Linear(features, 2)

    def bent(self, x: Tensor) -> Tensor:
        return torch.relu(self.function(torch.relu(self.conv(x)), self.weight)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bent(x))


def einsum(equation: str) -> nn.Module:
    if "," not in equation:
        return Product(lambda x, w: torch.einsum(equation, x), (1,)).eval()
    first = equation.startswith("oc")
    return Product(lambda x, w: torch.einsum(equation, *((w, x) if first else (x, w))), EQUATIONS[equation]).eval()


def matrix(kind: str) -> nn.Module:
    def times(x: Tensor, w: Tensor) -> Tensor:
        x = x.unsqueeze(1) if kind.endswith("new places") else x
        return w @ x if kind == "left" else x @ w

    return Product(times, MATRICES[kind]).eval()


def check(module: nn.Module, path: Path) -> None:
    images = torch.randn(3, 2, 4, 4)
    with torch.no_grad():
        wanted = module(images).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (images[:2],), path, dynamo=False)
    network = om.read_network(module, (2, 4, 4))
    for found in (network, om.read_network(path)):
        np.testing.assert_allclose(found.replay(images.double().numpy()), wanted, rtol=1e-5, atol=1e-5)
        assert found.groups
    scores = {group.name: np.arange(group.size) % 2.0 for group in network.groups if group.size > 1}
    scores |= {group.name: np.ones(1) for group in network.groups if group.size == 1}
    pruned = om.prune(module, scores, threshold=0.5, network=network)
    with torch.no_grad():
        cut = pruned(images).numpy()
    np.testing.assert_allclose(cut, network.replay(images.double().numpy(), scores), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("equation", [equation for equation in EQUATIONS if equation != "oc,bchw"])
def test_an_einstein_summation_gives_its_logits_and_is_cut(equation: str, tmp_path: Path) -> None:
    check(einsum(equation), tmp_path / "net.onnx")


@pytest.mark.parametrize("kind", MATRICES)
def test_matrices_of_each_channel_give_their_logits_and_are_cut(kind: str, tmp_path: Path) -> None:
    check(matrix(kind), tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (lambda x, w: torch.einsum("bchw,bohw->bchw", x, x), (1,), "multiplies activations"),
        (lambda x, w: torch.einsum("bchh,oc->boh", x, w), (4, 3), "'bchh,oc->boh', which is not read"),
        (lambda x, w: torch.einsum("bchw,ab->ach", x, w), (2, 2), "mixes the images of a batch"),
        (lambda x, w: torch.einsum("bchw,oc->obhw", x, w), (2, 3), "mixes the images of a batch"),
        (lambda x, w: x @ w, (2, 3, 4, 5), "differ from image to image"),
    ],
)
def test_other_products_are_refused_in_one_line(
    function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(om.InputError, match=message) as error:
        read_module(Product(function, shape).eval(), (2, 4, 4))
    one_line(error)
