"""Small networks by every route: each import gives the module's own logits.

``python -m oamip_benchmarks.measures.matrix`` reads all of them in every opset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oamip_benchmarks.measures.matrix import files
from oamip_benchmarks.measures.matrix.networks import NETWORKS
from oamip_benchmarks.measures.matrix.operators import OPERATORS

import oamip_model as om

ROUTES = ("torch", "legacy", "legacy dynamic", "dynamo")
CELLS = [
    (name, exporter, opset) for exporter, opsets in files.EXPORTERS.items() for name in OPERATORS for opset in opsets
]
"""Operators by exporter and opset."""


def options(route: str) -> dict[str, Any]:
    found: dict[str, Any] = {"dynamo": route.startswith("dynamo")}
    if route == "legacy dynamic":
        found["dynamic_axes"] = {"x": {0: "batch"}}
    if route == "dynamo dynamic":
        found["dynamic_shapes"] = ({0: torch.export.Dim.DYNAMIC},)
    return found


def test_matrix_has_52_imports() -> None:
    assert len(NETWORKS) * len(ROUTES) == 52


@pytest.mark.thinned(40)
@pytest.mark.parametrize(
    ("case", "route"),
    [(case, route) for case in NETWORKS for route in (*ROUTES, "pt2")]
    + [(case, "dynamo dynamic") for case in ("residual", "nested, functional")],
)
def test_import_gives_the_modules_logits(case: str, route: str, tmp_path: Path) -> None:
    module, shape = files.made(case)
    images = torch.randn(4, *shape, dtype=torch.float64)
    if route == "torch":
        network = om.read_network(module, input_shape=shape)
    elif route == "pt2":
        program = torch.export.export(
            module, (torch.randn(2, *shape),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
        )
        torch.export.save(program, tmp_path / "net.pt2")
        network = om.read_network(tmp_path / "net.pt2")
    else:
        network = om.read_network(files.exported(module, shape, tmp_path / "net.onnx", **options(route)))
    with torch.no_grad():
        wanted = module.double()(images).numpy()
    assert network.input_shape == shape
    np.testing.assert_allclose(network.replay(images.numpy()), wanted, rtol=1e-5, atol=1e-5)


def some() -> list[tuple[str, str, int]]:
    """Every operator in two opsets of the older exporter, and every opset of the newer one, which is slow, once."""
    count = len(files.EXPORTERS["legacy"])
    names = list(OPERATORS)
    chosen = {(name, "legacy", 9 + (k + shift) % count) for k, name in enumerate(names) for shift in (0, 5)}
    chosen |= {(names[7 * k], "dynamo", opset) for k, opset in enumerate(files.EXPORTERS["dynamo"])}
    return [cell for cell in CELLS if cell in chosen]


@pytest.mark.parametrize(("name", "exporter", "opset"), some())
def test_an_exported_operator_gives_the_logits_of_onnxruntime(
    name: str, exporter: str, opset: int, tmp_path: Path
) -> None:
    try:
        assert files.difference_of_export(name, exporter, opset, tmp_path / "net.onnx") <= 1e-5
    except files.ExportError as error:
        pytest.skip(f"the exporter has no form of it: {str(error)[:60]}")
