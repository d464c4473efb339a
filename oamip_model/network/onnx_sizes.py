"""How large the tensors are that an ONNX model works out.

They follow from weights and shapes, and are known before they are worked out.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_FEW = 4096
"""Numbers of a tensor whose values count for the shapes of others."""


def largest_output(model: onnx.ModelProto, inputs: dict[str, NDArray[np.generic]]) -> int | None:
    """The number of elements of a one-node model's largest output.

    It is None where its shape is not known beforehand.

    Examples
    --------
    >>> node = onnx.helper.make_node("Expand", ["x", "shape"], ["y"])
    >>> values = {"x": np.ones(1), "shape": np.array([10**6, 10**6])}
    >>> largest_output(one_node(node, {"": 13}, values), values)
    1000000000000
    """
    told = onnx.ModelProto()
    told.CopyFrom(model)
    few = {name: array for name, array in inputs.items() if array.size <= _FEW}
    told.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in few.items())
    try:
        found = onnx.shape_inference.infer_shapes(told, data_prop=True)
    except Exception:  # whatever onnx says of a node that is wrong, it says again when the node is run
        return None
    sizes = []
    for entry in found.graph.output:
        shape = entry.type.tensor_type.shape
        if not entry.type.tensor_type.HasField("shape") or not all(axis.HasField("dim_value") for axis in shape.dim):
            return None
        sizes.append(math.prod(axis.dim_value for axis in shape.dim))
    return max(sizes, default=0)


def one_node(node: onnx.NodeProto, opsets: dict[str, int], inputs: dict[str, NDArray[np.generic]]) -> onnx.ModelProto:
    """A model of a single node, for inputs like these arrays.

    The inputs have their types and shapes.
    """
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in inputs.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return onnx.helper.make_model(graph, opset_imports=imports)
