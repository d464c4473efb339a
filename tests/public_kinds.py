"""The tables of public networks beside their tests, as models.

``public_benchmarks.txt`` holds the kinds of VNN-COMP 2021 to 2023 and of other tools, ``public_forms.txt`` the forms of
single operators. An entry is: # name | axes of the input | opset | read, or refused and by which word | options. Below
it stand operators, ``outputs=Operator(inputs;attribute=value)``, and weights: ``name:2x3`` are random numbers of a
shape, ``name:+3`` positive ones, ``name:=[1,2]`` these. Dense and Product stand for layers of these sizes with ReLUs
between, by Gemm, or by MatMul and Add.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LISTS = {"kernel_shape", "strides", "pads", "dilations", "axes", "perm", "starts", "ends", "split", "output_padding",
         "scales", "sizes", "offset", "scale", "shape", "consumed_inputs", "coefficients", "intercepts",
         "classlabels_ints"}  # fmt: skip
OF_ML = ("Scaler", "ArrayFeatureExtractor", "LinearRegressor", "LinearClassifier", "Normalizer")


@dataclass
class Kind:
    """One entry of a table."""

    name: str
    axes: list[Any]
    opset: int
    refused: str | None
    options: dict[str, str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def model(self) -> onnx.ModelProto:
        kind = TensorProto.DOUBLE if "double" in self.options else TensorProto.FLOAT
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        arrays = {n: w.astype(dtype) if w.dtype == np.float64 else w for n, w in self.weights.items()}
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        if "bytes" in self.options:
            arrays = {n: w.astype(np.int8) if n in "qz" else w for n, w in arrays.items()}
        if "constants" in self.options:
            made = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(w)) for n, w in arrays.items()]
            nodes, arrays = made + nodes, {}
        for node in nodes:
            if node.op_type == "Constant" and not node.attribute:
                value = numpy_helper.from_array(arrays.pop(node.output[0]))
                node.attribute.append(helper.make_attribute("value", value))
        first = TensorProto.UINT8 if "bytes" in self.options and "q" not in arrays else kind
        inputs = [helper.make_tensor_value_info("x", first, [None if n == "?" else n for n in self.axes])]
        inputs += [helper.make_tensor_value_info("x2", kind, self.axes)] if "second" in self.options else []
        if "inputs" in self.options:
            inputs += [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(w.dtype), w.shape)
                       for name, w in arrays.items()]  # fmt: skip
        outputs = [helper.make_empty_tensor_value_info(n) for n in self.options.get("outputs", "y").split(",")]
        for output in outputs:
            whole = self.options.get("end") == "argmax" or output.name == "label"
            output.type.tensor_type.elem_type = TensorProto.INT64 if whole else kind
        tensors = [numpy_helper.from_array(w, name) for name, w in arrays.items()]
        graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
        imports = [helper.make_opsetid("", self.opset)]
        imports += [helper.make_opsetid("ai.onnx.ml", 1)] if "ml" in self.options else []
        return helper.make_model(graph, opset_imports=imports, ir_version=3 if "inputs" in self.options else 8)


def value_of(name: str, text: str) -> Any:
    def one(word: str) -> Any:
        if re.fullmatch(r"-?\d+", word):
            return int(word)
        return float(word) if re.fullmatch(r"-?\d+\.\d*", word) else word

    found = [one(word) for word in text.split()]
    if name == "value" and isinstance(found[0], float):
        return helper.make_tensor("value", TensorProto.FLOAT, [1], found)
    return found if name in LISTS else found[0] if len(found) == 1 else text


def add_layers(kind: Kind, start: str, end: str, sizes: list[int], product: bool, random: np.random.Generator) -> None:
    at = start
    for place, (a, b) in enumerate(itertools.pairwise(sizes)):
        w, c, out = f"{end}w{place}", f"{end}c{place}", end if place == len(sizes) - 2 else f"{end}z{place}"
        kind.weights[w], kind.weights[c] = random.normal(size=(a, b)) / np.sqrt(a), random.normal(size=b)
        if product:
            kind.nodes.append(helper.make_node("MatMul", [at, w], [f"{end}m{place}"]))
            kind.nodes.append(helper.make_node("Add", [f"{end}m{place}", c], [out]))
        else:
            kind.weights[w] = kind.weights[w].T.copy()
            old = {"broadcast": 1} if kind.opset < 7 else {}
            kind.nodes.append(helper.make_node("Gemm", [at, w, c], [out], transB=1, **old))
        if out != end:
            at = f"{end}r{place}"
            kind.nodes.append(helper.make_node("Relu", [out], [at]))


def parsed(text: str) -> Kind:
    head, _, body = text.removeprefix("# ").partition("\n")
    name, axes, opset, outcome, *rest = head.split(" | ")
    options = dict([*word.split("=", 1), ""][:2] for word in " ".join(rest).split())
    refused = outcome.partition(": ")[2] if outcome != "read" else None
    sizes = [int(n) if re.fullmatch(r"-?\d+", n) else n for n in axes.split()]
    kind = Kind(name, sizes, int(opset), refused, options)
    random = np.random.default_rng(len(text))
    operators = re.compile(r"(\S+?)=(\w+)\(([^)]*)\)")
    for outputs, operator, inner in operators.findall(body):
        names, *given = inner.split(";")
        attributes = {key: value_of(key, value) for key, _, value in (entry.partition("=") for entry in given)}
        if operator in ("Dense", "Product"):
            add_layers(kind, names, outputs, attributes["sizes"], operator == "Product", random)
        else:
            domain = "ai.onnx.ml" if operator in OF_ML else ""
            inputs = names.split(",") if names else []
            kind.nodes.append(helper.make_node(operator, inputs, outputs.split(","), domain=domain, **attributes))
    for word in operators.sub("", body).split():
        key, _, value = word.partition(":")
        if value.startswith("="):
            kind.weights[key] = np.array(json.loads(value[1:]))
        else:
            shape = tuple(int(n) for n in value.lstrip("+").split("x"))
            positive = value.startswith("+")
            numbers = random.uniform(0.5, 2.0, shape) if positive else random.normal(size=shape)
            kind.weights[key] = numbers if positive else numbers / np.sqrt(max(int(np.prod(shape[1:])), 1))
    return kind


KINDS = [
    parsed(text)
    for table in ("public_benchmarks", "public_forms")
    for text in (Path(__file__).parent / "network" / f"{table}.txt").read_text().strip().split("\n\n")
]
