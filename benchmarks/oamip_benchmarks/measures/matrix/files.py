"""Reads modules and their files, and files of single operators.

Each is compared with its source: a module in double precision, or onnxruntime.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import oamip_model as om
from oamip_benchmarks.measures.matrix.layers import LAYERS
from oamip_benchmarks.measures.matrix.moves import BENDS, LAST, MOVES
from oamip_benchmarks.measures.matrix.networks import NETWORKS
from oamip_benchmarks.measures.matrix.operators import OPERATORS, Shape

MODULES = {**NETWORKS, **OPERATORS}
SINGLE = {**LAYERS, **MOVES, **BENDS}
EXPORTERS = {"legacy": range(9, 21), "dynamo": range(18, LAST + 1)}
"""Exporters of torch, each with the opsets from 9 to 21 that it writes."""
FIRST = 7
"""The first opset that onnxruntime runs."""


class ExportError(Exception):
    """The exporter has no form of a module in this opset."""


def made(name: str) -> tuple[nn.Module, Shape]:
    """A module of the matrix.

    The statistics of its batch norms are not the initial ones.
    """
    torch.manual_seed(0)
    module, shape = MODULES[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.weight, part.bias):
                assert values is not None
                nn.init.normal_(values)
            assert part.running_var is not None
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval(), shape


def opsets_of(name: str) -> range:
    """The opsets in which a single operator is written."""
    return range(max(SINGLE[name][0], FIRST), LAST + 1)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def exported(module: nn.Module, shape: Shape, path: Path, **options: Any) -> Path:
    """A module's .onnx file, for a batch of two."""
    with _silent():
        example = (torch.randn(2, *shape),)
        torch.onnx.export(module, example, path, input_names=["x"], verbose=False, **options)
    return path


def difference_of_module(name: str) -> float:
    """The largest difference of a logit of a module that was read.

    It is relative to the largest logit.
    """
    module, shape = made(name)
    return _to_module(om.read_network(module, shape), module, shape)


def difference_of_program(name: str, path: Path) -> float:
    """The same of a module that was saved by torch.export."""
    module, shape = made(name)
    with _silent():
        torch.export.save(torch.export.export(module, (torch.randn(2, *shape),)), path)
    return _to_module(om.read_network(path), module, shape)


def difference_of_export(name: str, exporter: str, opset: int, path: Path) -> float:
    """The same of a module's .onnx file, to what onnxruntime makes of the file.

    Raises ExportError where the exporter, or onnxruntime, has no form of it in this opset.
    """
    module, shape = made(name)
    try:
        exported(module, shape, path, dynamo=exporter == "dynamo", opset_version=opset)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever the exporter says, it has written no file that can be run
        raise ExportError(str(error)) from None
    return _to_runtime(om.read_network(path), session, shape)


def difference_of_operator(name: str, opset: int, path: Path) -> float:
    """The same of the file of a single operator."""
    shape = write(path, opset, name)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return _to_runtime(om.read_network(path), session, shape)


def write(path: Path, opset: int, name: str) -> Shape:
    """Writes a model of a single operator, and returns the shape of an image.

    A dense layer comes after it.
    """
    _, shape, weights, nodes = SINGLE[name]
    body = nodes(opset)
    used = {source for node in body for source in node.input}
    stored = [numpy_helper.from_array(np.asarray(array), key) for key, array in weights.items() if key in used]
    first = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    imports = [helper.make_opsetid("", opset)]
    bare = helper.make_graph(
        body, "net", [first], [helper.make_tensor_value_info("h", TensorProto.FLOAT, None)], stored
    )
    run = onnxruntime.InferenceSession(
        helper.make_model(bare, opset_imports=imports, ir_version=8).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    length = math.prod(run.run(None, {"x": np.ones((2, *shape), np.float32)})[0].shape) // 2
    top = np.linspace(-1, 1, 3 * length, dtype=np.float32).reshape(length, 3)
    body += [helper.make_node("Flatten", ["h"], ["f"], axis=1), helper.make_node("MatMul", ["f", "last"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(body, "net", [first], [output], [*stored, numpy_helper.from_array(top, "last")])
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return shape


def _to_module(network: om.Network, module: nn.Module, shape: Shape) -> float:
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, *shape)))
    with torch.no_grad():
        wanted = module.double()(images).flatten(1).numpy()
    return _largest(network.replay(images.numpy()), wanted)


def _to_runtime(network: om.Network, session: onnxruntime.InferenceSession, shape: Shape) -> float:
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    return _largest(network.replay(images), session.run(None, {"x": images})[0].reshape(2, -1))


def _largest(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    if found.shape != wanted.shape:
        return math.inf
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))
