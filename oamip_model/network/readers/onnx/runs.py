"""Forward passes of ONNX models by other programs.

They are onnxruntime, and the reference implementation of ONNX, mended.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.judge import ROUNDING, Judge
from oamip_model.network.readers.onnx.mended import mended
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.sizes import largest_output, one_node

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def judges_of(model: onnx.ModelProto, numbers: Numbers, image: str, whole: Shape | None = None) -> list[Judge]:
    """Judges of a model: onnxruntime where it is installed, and the reference.

    The first is in single precision, the mended reference in double precision. ``whole``: the shape of the input where
    it is one image.
    """

    @functools.cache
    def double() -> onnx.ModelProto:
        return _converted(model, numbers, TensorProto.DOUBLE)

    @functools.cache
    def session() -> Any:
        return _session(_converted(model, numbers, TensorProto.FLOAT, apart=True), numbers)

    def shaped(images: Array) -> Array:
        return images if whole is None else images.reshape(whole)

    def by_runtime(images: Array) -> Array:
        return np.asarray(session().run(None, {image: shaped(images).astype(np.float32)})[0], dtype=np.float64)

    def by_reference(images: Array) -> Array:
        return np.asarray(run_reference(double(), {image: shaped(images)})[0], dtype=np.float64)

    if find_spec("onnxruntime") is None:
        advice = "; with the package onnxruntime installed it may be checked"
        return [Judge("the reference implementation of ONNX", by_reference, advice=advice)]
    return [
        Judge("onnxruntime", by_runtime, rounding=ROUNDING),
        Judge("the reference implementation of ONNX", by_reference),
    ]


def _session(model: onnx.ModelProto, numbers: Numbers) -> Any:
    """A session of onnxruntime for a model. It maps weights that are in files, and holds no copy of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # As the file says it, and without packing weights anew.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(numbers.folder))
    options.log_severity_level = 4  # errors come as exceptions, and its lines would go past Python to standard error
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_reference(model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]) -> list[Any]:
    """Outputs of the model by the reference implementation of ONNX, mended.

    It is mended where it does not do what ONNX says.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    return list(ReferenceEvaluator(model, new_ops=mended(opset)).run(None, inputs))


def run_node(node: onnx.NodeProto, opsets: dict[str, int], inputs: dict[str, NDArray[Any]], most: int) -> list[Any]:
    """Outputs of a single node, as its operator is defined in these opsets.

    Raises MemoryError for an output of more than ``most`` numbers.
    """
    # As a model: for a node alone the reference implementation takes the newest operator, whatever opset it is given.
    model = one_node(node, opsets, inputs)
    size = largest_output(model, inputs)
    if size is not None and size > most:
        raise MemoryError
    return run_reference(model, inputs)


def _converted(model: onnx.ModelProto, numbers: Numbers, kind: int, apart: bool = False) -> onnx.ModelProto:
    """A copy of the model with all its floating-point numbers of one kind.

    With ``apart``, weights of that kind that are in a file remain there.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensors = []
    fixed = {tensor.name for tensor in copy.graph.initializer} | {""}
    for node in list(copy.graph.node):
        constant = fixed.issuperset(node.input)
        fixed.update(node.output if constant else ())
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                tensors.append(entry.t)
            elif node.op_type == "Cast" and entry.name == "to" and entry.i in FLOATS:
                if constant:
                    _round_first(copy, node, entry.i)
                entry.i = kind
    for tensor in copy.graph.initializer:
        if not (apart and tensor.data_type == kind and numbers.told(tensor)):
            tensors.append(tensor)
    for tensor in tensors:
        if tensor.data_type in FLOATS or tensor.data_location == TensorProto.EXTERNAL:
            array = numbers.array(tensor)
            if tensor.data_type in FLOATS:
                with np.errstate(over="ignore"):
                    array = array.astype(onnx.helper.tensor_dtype_to_np_dtype(kind), copy=False)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = kind
    del copy.graph.value_info[:]
    return copy


def _round_first(model: onnx.ModelProto, node: onnx.NodeProto, kind: int) -> None:
    """Have weights rounded to a type, as a model says it, before a node casts them to another one."""
    place = next(n for n, other in enumerate(model.graph.node) if other.output[:1] == node.output[:1])
    rounded = f"{node.output[0]}/rounded"
    model.graph.node.insert(place, onnx.helper.make_node("Cast", list(node.input), [rounded], to=kind))
    node.input[0] = rounded
