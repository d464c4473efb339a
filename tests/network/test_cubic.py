"""Cubic changes of size are those of torch and onnxruntime."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import oamip_model as om


@pytest.mark.parametrize(
    "how",
    [{"scale_factor": 2}, {"size": (7, 5), "align_corners": True}, {"scale_factor": 1.7}, {"size": (3, 2)}],
    ids=str,
)
def test_cubic_interpolation_of_torch_is_read(how: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Upsample(mode="bicubic", **how), nn.Flatten()).eval()
    network = om.read_network(module, (2, 4, 4))
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    with torch.no_grad():
        wanted = module.double()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(network.replay(x), wanted, rtol=1e-5, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.float(), (torch.zeros(1, 2, 4, 4),), tmp_path / "net.onnx", dynamo=False)
    np.testing.assert_allclose(om.read_network(tmp_path / "net.onnx").replay(x), wanted, rtol=1e-4, atol=1e-5)


PLACES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")


@pytest.mark.parametrize(("places", "outside"), itertools.product(PLACES, (0, 1)))
def test_cubic_resizing_of_onnx_is_that_of_onnxruntime(places: str, outside: int, tmp_path: Path) -> None:
    for number, scales in enumerate([(2, 2), (1.5, 0.5), (0.5, 0.75)]):
        node = helper.make_node("Resize", ["x", "e", "s"], ["y"], mode="cubic", cubic_coeff_a=-0.75 + number / 4,
                                coordinate_transformation_mode=places, exclude_outside=outside)  # fmt: skip
        tensors = {"e": np.array([], np.float32), "s": np.array([1, 1, *scales], np.float32)}
        graph = helper.make_graph(
            [node], "net", [helper.make_tensor_value_info("x", 1, [1, 2, 4, 6])],
            [helper.make_tensor_value_info("y", 1, None)],
            [numpy_helper.from_array(values, name) for name, values in tensors.items()],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path / f"net{number}.onnx"
        path.write_bytes(model.SerializeToString())
        x = np.random.default_rng(0).normal(size=(1, 2, 4, 6)).astype(np.float32)
        wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        np.testing.assert_allclose(om.read_network(path).replay(x).ravel(), wanted.ravel(), rtol=1e-5, atol=1e-5)
