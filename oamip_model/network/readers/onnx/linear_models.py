"""Linear classifiers of ONNX-ML, in operators that are read.

Scikit-learn's models are written as such classifiers.
"""

from __future__ import annotations

from typing import Any, Final

import onnx

_BEHIND: Final[dict[str, str | None]] = {"NONE": None, "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
"""What a classifier does to its scores, by ONNX's operator for it."""


def write_linear_models(model: onnx.ModelProto) -> None:
    """Have each linear classifier be a regressor of all classes.

    Its probabilities and labels come behind it. One whose scores are not those of its classes, one each, remains as it
    is.
    """
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        known = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        linear = (node.domain, node.op_type) == ("ai.onnx.ml", "LinearClassifier")
        nodes += _apart(node, known) if linear and _is_plain(node, known) else [node]
    if len(nodes) > len(model.graph.node):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)


def _is_plain(node: onnx.NodeProto, known: dict[str, Any]) -> bool:
    """Whether there are weights and a label for each of several classes."""
    classes, offsets, weights = _classes(known), known.get("intercepts"), known.get("coefficients", [])
    fits = classes > 1 and len(weights) % classes == 0 and (offsets is None or len(offsets) == classes)
    return fits and len(node.output) == 2 and bool(node.output[1]) and _transform(known) in _BEHIND


def _classes(known: dict[str, Any]) -> int:
    return len(known.get("classlabels_ints", [])) or len(known.get("classlabels_strings", []))


def _transform(known: dict[str, Any]) -> str:
    found: str = known.get("post_transform", b"NONE").decode(errors="replace")
    return found


def _apart(node: onnx.NodeProto, known: dict[str, Any]) -> list[onnx.NodeProto]:
    (label, scores), behind, classes = node.output, _BEHIND[_transform(known)], _classes(known)
    raw = scores if behind is None else f"{scores}/scores"
    regressor = onnx.helper.make_node(
        "LinearRegressor", list(node.input), [raw], node.name, domain="ai.onnx.ml", targets=classes,
        coefficients=known["coefficients"], intercepts=known.get("intercepts", [0.0] * classes),
    )  # fmt: skip
    axis = {"axis": 1} if behind == "Softmax" else {}
    parts = [regressor]
    parts += [onnx.helper.make_node(behind, [raw], [scores], **axis)] if behind else []
    return parts + ([onnx.helper.make_node("ArgMax", [raw], [label], axis=1, keepdims=0)] if label else [])
