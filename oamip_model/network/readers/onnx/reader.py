"""An ONNX model as an operator graph.

Tensors that depend on weights and shapes alone are worked out on the way.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.graph import MOST, Graph, Value, refuse, room_for
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.onnx.call import Call, Constant, MixedError
from oamip_model.network.readers.onnx.families.places import MOVES, moved_back
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.operators import OF_OTHER_DOMAINS, emit
from oamip_model.network.readers.onnx.runs import run_node
from oamip_model.network.types import IMAGE


def read_model(
    model: onnx.ModelProto, numbers: Numbers, image: str, shapes: tuple[Shape, Shape], batch: int | None
) -> Graph:
    """The operator graph of a model, for batches of ``batch`` images.

    They are called ``image``, and ``shapes`` are that of one and that of the input. Where ``batch`` is None, the input
    is one image.

    Raises InputError for an operator that is not accepted, or an output that does not depend on the image.
    """
    return _Reader(model, numbers, image, shapes, batch).run()


class _Reader:
    def __init__(
        self, model: onnx.ModelProto, numbers: Numbers, image: str, shapes: tuple[Shape, Shape], batch: int | None
    ) -> None:
        self.model, self.numbers, self.batch = model, numbers, batch
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        input_shape, whole = shapes
        self.graph = Graph(input_shape)
        taken = IMAGE if batch is not None else self.graph.reshape(image, IMAGE, whole)
        self.values: dict[str, Value | Constant] = {image: taken}
        self.mixed: dict[str, tuple[MixedError, NDArray[Any]]] = {}
        """Tensors in which numbers of several images stand beside each other, as places of another tensor's numbers."""
        for entry in model.graph.initializer:
            self.values[entry.name] = Constant(numbers.of(entry), entry.name)
        self.graph.single = all(entry.data_type != onnx.TensorProto.DOUBLE for entry in model.graph.initializer)
        self.owners: dict[str, str] = {}
        stored = sum(math.prod(value.shape) for value in self.values.values() if isinstance(value, Constant))
        self.room = room_for(stored)

    def run(self) -> Graph:
        result = self.model.graph.output[0].name
        for node in self.model.graph.node:
            self._visit(node)
        output = self.values.get(result)
        if result in self.mixed:
            raise self.mixed[result][0]
        if not isinstance(output, int):
            raise InputError("network: its output does not depend on its input")
        self.graph.output = output
        return self.graph

    def _visit(self, node: onnx.NodeProto) -> None:
        name = layer_name(node)
        if node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in OF_OTHER_DOMAINS:
            raise refuse(name, f"{node.domain}.{node.op_type}")
        attributes = {entry.name: _attribute(entry) for entry in node.attribute}
        missing = [source for source in node.input if source and source not in self.values]
        if missing:
            raise refuse(name, node.op_type, f"reads {missing[0]}, an output that its operator does not give here")
        inputs = tuple(self.values[source] if source else None for source in node.input)
        if node.op_type == "Shape" and isinstance(inputs[0], int):
            shape = self._full(inputs[0])
            part = shape[slice(attributes.get("start", 0), attributes.get("end"))]
            self.values[node.output[0]] = Constant(np.array(part, dtype=np.int64))
        elif node.op_type == "Size" and isinstance(inputs[0], int):
            self.values[node.output[0]] = Constant(np.array(math.prod(self._full(inputs[0])), dtype=np.int64))
        elif node.op_type == "Constant" and isinstance(attributes.get("value"), onnx.TensorProto):
            self.values[node.output[0]] = Constant(self.numbers.of(attributes["value"]))
        elif node.op_type == "CastLike" and isinstance(inputs[0], Constant) and isinstance(inputs[1], int):
            self.values[node.output[0]] = inputs[0]
        elif all(source is None or isinstance(source, Constant) for source in inputs):
            self._evaluate(node, name, [source for source in inputs if isinstance(source, Constant)])
        else:
            opset = self.opsets.get(node.domain, self.opsets.get("", self.opsets.get("ai.onnx", 1)))
            call = Call(
                name, node.op_type, attributes, inputs, self.batch, opset, sum(map(bool, node.output)),
                lambda constant: self._owner(constant, name),
                lambda numbers: self._run(node, name, {source: numbers for source in node.input
                                                       if source and isinstance(self.values[source], int)}),
            )  # fmt: skip
            mixed = next((self.mixed[source] for source in node.input if source in self.mixed), None)
            try:
                if mixed is None:
                    found = emit(self.graph, call)
                elif node.op_type in MOVES:
                    found = moved_back(self.graph, call, mixed[1])
                else:
                    raise mixed[0]
            except MixedError as error:
                if mixed is not None and error is mixed[0]:
                    raise
                first = error if mixed is None else mixed[0]
                found = [first.value] * len(error.places)
                self.mixed.update(zip(node.output, ((first, places) for places in error.places), strict=False))
            self.values.update(zip(node.output, found, strict=False))

    def _evaluate(self, node: onnx.NodeProto, name: str, sources: list[Constant]) -> None:
        """Work out a tensor that depends on weights and shapes alone."""
        if any(entry.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for entry in node.attribute):
            raise refuse(name, node.op_type)
        results = self._run(node, name, {})
        origin = next((source.origin for source in sources if source.origin), "")
        for output, array in zip(node.output, results, strict=False):
            self.values[output] = Constant(array, origin)
            self.room -= array.size

    def _full(self, value: Value) -> Shape:
        """The shape of a tensor as the file has it."""
        shape = self.graph.shape(value)
        return shape if self.batch is None else (self.batch, *shape)

    def _run(self, node: onnx.NodeProto, name: str, beside: dict[str, Array]) -> list[NDArray[Any]]:
        """Work out a node of constants, and of arrays in the place of activations."""
        given = {**beside}
        for source in node.input:
            value = self.values[source] if source else None
            if isinstance(value, Constant):
                given[source] = value.array
        most = self.room if not beside else MOST
        try:
            return [np.asarray(array) for array in run_node(node, self.opsets, given, most)]
        except MemoryError:
            raise refuse(name, node.op_type, "works out constants of far more numbers than the file has") from None
        except Exception as error:
            raise refuse(name, node.op_type, f"cannot be worked out ({type(error).__name__})") from error

    def _owner(self, constant: Constant, layer: str) -> str:
        """The module that weights belong to: by the initializer's name, or the layer's where an exporter made it up."""
        origin = constant.origin or layer
        if origin not in self.owners:
            generated = not constant.origin or re.match(r"(onnx::|val_|\d+$|/)|.*::", constant.origin)
            owner = layer if generated else re.sub(r"[./]weight$", "", constant.origin)
            taken, count, base = set(self.owners.values()), 1, owner
            while owner in taken:
                count += 1
                owner = f"{base}_{count}"
            self.owners[origin] = owner
        return self.owners[origin]


def layer_name(node: onnx.NodeProto) -> str:
    """The torch module that a node was exported from, or a name in its place.

    The module is known as far as the node's name shows it; else the name is the node's or its output's.

    >>> layer_name(onnx.helper.make_node("Conv", ["x"], ["y"], name="/features/features.0/Conv"))
    'features.0'
    >>> layer_name(onnx.helper.make_node("Relu", ["x"], ["y"], name="node_relu_1"))
    'relu_1'
    """
    name = node.name or (node.output[0] if node.output else "") or node.op_type
    if not name.startswith("/"):
        return name.removeprefix("node_")
    *modules, operator = name.strip("/").split("/")
    path: list[str] = []
    for module in modules:
        # The children of a container repeat its name.
        if path and module.startswith(path[-1] + "."):
            path.pop()
        path.append(module)
    return ".".join(path) or operator


def _attribute(entry: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(entry)
    return value.decode(errors="replace") if isinstance(value, bytes) else value
