"""ONNX models in order, down to the one output that is read.

Operators are sorted, and what the output does not depend on is taken out.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

_WHOLE = {
    onnx.TensorProto.INT8, onnx.TensorProto.INT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64,
    onnx.TensorProto.UINT8, onnx.TensorProto.UINT16, onnx.TensorProto.UINT32, onnx.TensorProto.UINT64,
}  # fmt: skip


def in_order(model: onnx.ModelProto) -> None:
    """Sort the operators of a model, so that each comes after what it reads.

    Operators of a circle remain unsorted, and the checker refuses them.
    """
    given = {entry.name for entry in (*model.graph.input, *model.graph.initializer)}
    given |= {entry.values.name for entry in model.graph.sparse_initializer}
    made = {name for node in model.graph.node for name in node.output}
    ready, waiting, order = set(given) | {""}, list(model.graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if all(name in ready or name not in made for name in _read(node)):
                order.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            order += later
            break
        waiting = later
    if all(a is b for a, b in zip(order, model.graph.node, strict=True)):
        return
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _read(node: onnx.NodeProto) -> list[str]:
    """Names of the tensors that a node reads, those of its inner graphs included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [name for inner in graph.node for name in _read(inner)]
    return names


def drop_unneeded(model: onnx.ModelProto) -> None:
    """Take out what the result of a model does not depend on.

    So nobody runs them.
    """
    needed = {model.graph.output[0].name}
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed.update(_read(node))
    _keep(model.graph.node, [bool(needed & set(node.output)) for node in model.graph.node])
    _keep(model.graph.initializer, [entry.name in needed for entry in model.graph.initializer])
    if any(entry.name in needed for entry in model.graph.input):
        _keep(model.graph.input, [entry.name in needed for entry in model.graph.input])


def let_numbers_in(model: onnx.ModelProto) -> tuple[str, ...]:
    """Have a model of whole numbers take any numbers, and say so.

    That is where every operator that reads its input casts it to floating-point numbers.
    """
    fixed = {entry.name for entry in model.graph.initializer}
    images = [entry for entry in model.graph.input if entry.name not in fixed]
    kind = images[0].type.tensor_type if len(images) == 1 else None
    if kind is None or kind.elem_type not in _WHOLE:
        return ()
    readers = [node for node in model.graph.node if images[0].name in _read(node)]
    casts = [{entry.i for entry in node.attribute if entry.name == "to"} for node in readers if node.op_type == "Cast"]
    if len(casts) < len(readers) or any(to != {onnx.TensorProto.FLOAT} for to in casts):
        return ()
    name = onnx.TensorProto.DataType.Name(kind.elem_type)
    kind.elem_type = onnx.TensorProto.FLOAT
    return (f"takes whole numbers ({name}) and casts them: any numbers are read in their place",)


def _keep(messages: object, kept: Sequence[bool]) -> None:
    for place in range(len(kept) - 1, -1, -1):
        if not kept[place]:
            del messages[place]  # type: ignore[attr-defined]
