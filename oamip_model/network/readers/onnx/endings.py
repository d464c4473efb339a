"""What stands behind the logits of an ONNX model.

These are probabilities, labels, and their forms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from oamip_model.errors import InputError
from oamip_model.network.readers.endings import BEHIND_LOGITS, GONE, notes_of, parted

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_FLOATS = (1, 10, 11, 16)


class _Tail:
    """The operators from one output of a model upwards, as far as they may stand behind logits."""

    def __init__(self, model: onnx.ModelProto, output: str) -> None:
        makers = {name: node for node in model.graph.node for name in node.output}
        fixed = _fixed(model)
        at, path = output, []
        while at in makers and makers[at].domain in _DOMAINS and makers[at].op_type in BEHIND_LOGITS:
            node = makers[at]
            given = [name for name in node.input if name and name not in fixed]
            # A shape that is worked out from activations comes behind them.
            if not given or (len(given) > 1 and node.op_type in ("Mul", "Div", "Add", "Sub", "Greater", "Sign")):
                break
            path.append(node)
            at = given[0]
        self.pair = _two_classes(model, makers, at)
        path.reverse()
        begin, chosen = parted([node.op_type for node in path], self.pair is not None)
        self.path, self.chosen = path[begin:], chosen - begin
        """The operators that may be left out, or that read one that is, the first of them first."""
        # Numbers that are cut to whole ones are neither logits nor their labels.
        if any(not _keeps_floats(node) for node in self.path[: self.chosen]):
            self.path, self.pair = [], None

    def begin(self, output: str, fixed: set[str]) -> str:
        """The tensor that the operators begin at."""
        if self.pair is not None:
            return str(self.pair.input[0])
        return next(name for name in self.path[0].input if name not in fixed) if self.path else output


def _keeps_floats(node: onnx.NodeProto) -> bool:
    return node.op_type != "Cast" or all(entry.i in _FLOATS for entry in node.attribute if entry.name == "to")


def _fixed(model: onnx.ModelProto) -> set[str]:
    """Names of the tensors that do not depend on the image."""
    fixed = {entry.name for entry in model.graph.initializer} | {""}
    for node in model.graph.node:
        if fixed.issuperset(node.input):
            fixed.update(node.output)
    return fixed


def _two_classes(model: onnx.ModelProto, makers: dict[str, onnx.NodeProto], at: str) -> onnx.NodeProto | None:
    """The sigmoid of a tensor that holds 1 - sigmoid and the sigmoid side by side."""
    joined = makers.get(at)
    if joined is None or joined.op_type != "Concat" or len(joined.input) != 2:
        return None
    rest, sigmoid = (makers.get(name) for name in joined.input)
    if rest is None or sigmoid is None or (rest.op_type, sigmoid.op_type) != ("Sub", "Sigmoid"):
        return None
    one = next((entry for entry in model.graph.initializer if entry.name == rest.input[0]), None)
    if one is None or rest.input[1] != sigmoid.output[0] or one.data_location == onnx.TensorProto.EXTERNAL:
        return None
    return sigmoid if (onnx.numpy_helper.to_array(one) == 1).all() else None


def choose_output(model: onnx.ModelProto, where: str, output: str | None) -> tuple[str, ...]:
    """Keep one output of a model: the only one, or the one of this name.

    Of several that all come from the same logits, such as labels and probabilities, the first without a label is
    kept, and that is said.
    """
    names = [entry.name for entry in model.graph.output]
    notes: tuple[str, ...] = ()
    if output is not None and output not in names:
        raise InputError(f"output: got {output!r}, but the outputs of {where.removeprefix('network: ')} are {names}")
    if output is None and len(names) != 1:
        tails, fixed = {name: _Tail(model, name) for name in names}, _fixed(model)
        shown = ", ".join(names[:10])
        if len({tail.begin(name, fixed) for name, tail in tails.items()}) != 1:
            raise InputError(f"{where} gives {len(names)} outputs ({shown}); accepted is one, named by output")
        output = min(names, key=lambda name: tails[name].chosen < len(tails[name].path))
        notes = (f"its outputs ({shown}) all come from the same logits, which are read",)
    kept = next(entry for entry in model.graph.output if output in (None, entry.name))
    chosen = onnx.ValueInfoProto.FromString(kept.SerializeToString())
    del model.graph.output[:]
    model.graph.output.append(chosen)
    return notes


def leave_out_ending(model: onnx.ModelProto) -> tuple[str, ...]:
    """Take probabilities and labels off the end of a model, and say so.

    A softmax, its logarithm, a sigmoid, tanh or softplus is taken out. What moves or scales its outputs does so with
    its inputs. A choice of a class and all that follows is left out.
    """
    output = model.graph.output[0]
    tail = _Tail(model, output.name)
    fixed, path = _fixed(model), tail.path[: tail.chosen]
    gone = [node for node in path if node.op_type in GONE]
    at, label = output.name, next(iter(tail.path[tail.chosen :]), None)
    if label is not None:
        at = next(name for name in label.input if name not in fixed)
    if tail.pair is not None:
        _write_two_logits(model, tail.pair)
    kinds = [node.op_type for node in path]
    notes = notes_of(kinds, None if label is None else label.op_type, tail.pair is not None)
    if not notes:
        return ()
    for node in gone:
        source = next(name for name in node.input if name not in fixed)
        _rename(model.graph.node, node.output[0], source)
        at = source if at == node.output[0] else at
    given = output.type.tensor_type.elem_type
    kind = given if given in _FLOATS else onnx.TensorProto.FLOAT
    output.CopyFrom(onnx.helper.make_tensor_value_info(at, kind, None))
    return notes


def _rename(nodes: Iterable[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new


def _write_two_logits(model: onnx.ModelProto, sigmoid: onnx.NodeProto) -> None:
    """Have the operators that give 1 - sigmoid and the sigmoid give 0 and the logit, which have the same softmax."""
    logit, probability = sigmoid.input[0], sigmoid.output[0]
    rest = next(node for node in model.graph.node if node.op_type == "Sub" and node.input[1:] == [probability])
    one = next(entry for entry in model.graph.initializer if entry.name == rest.input[0])
    zero = onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(one)), f"{rest.output[0]}/zero")
    model.graph.initializer.append(zero)
    rest.CopyFrom(onnx.helper.make_node("Mul", [logit, zero.name], list(rest.output), name=rest.name))
    _rename(model.graph.node, probability, logit)
