"""Which output of an exported program is read, and what stands behind its logits.

These are probabilities, labels, and their forms.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

import torch
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree

from oamip_model.errors import InputError
from oamip_model.network.readers.endings import BEHIND_LOGITS, GONE, notes_of, parted
from oamip_model.network.readers.torch.nodes import is_size, operator_of

_KINDS = {
    "softmax": "Softmax", "_softmax": "Softmax", "log_softmax": "LogSoftmax", "_log_softmax": "LogSoftmax",
    "sigmoid": "Sigmoid", "special_expit": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "log": "Log",
    "clamp": "Clip", "clamp_min": "Clip", "clamp_max": "Clip", "clip": "Clip", "argmax": "ArgMax", "topk": "TopK",
    "gt": "Greater", "greater": "Greater", "ge": "GreaterOrEqual", "sign": "Sign", "mul": "Mul", "multiply": "Mul",
    "div": "Div", "divide": "Div", "true_divide": "Div", "add": "Add", "sub": "Sub", "subtract": "Sub", "rsub": "Sub",
    "view": "Reshape", "reshape": "Reshape", "unflatten": "Reshape", "flatten": "Flatten", "squeeze": "Squeeze",
    "unsqueeze": "Unsqueeze", "permute": "Transpose", "transpose": "Transpose", "to": "Cast", "_to_copy": "Cast",
    "alias": "Identity", "detach": "Identity", "contiguous": "Identity", "clone": "Identity",
}  # fmt: skip
"""ONNX's names of the operators that may stand behind logits."""


def is_behind_logits(name: str) -> bool:
    """Whether an operator may stand behind logits."""
    return name.rstrip("_") in _KINDS or name in _KINDS


@dataclass(frozen=True)
class Tail:
    """What is left out behind the logits of an output.

    Parameters
    ----------
    result : Node
        What is read in the place of the output.
    begin : Node
        The tensor that the operators begin at.
    gone : dict
        The operators that are left out. Each gives this input of it, times a factor.
    label : bool
        Whether a choice of a class is left out.
    notes : tuple of str
        What is said of them.
    """

    result: torch.fx.Node
    begin: torch.fx.Node
    gone: dict[torch.fx.Node, tuple[torch.fx.Node, float]] = field(default_factory=dict)
    label: bool = False
    notes: tuple[str, ...] = ()


def output_names(program: torch.export.ExportedProgram) -> list[str]:
    """The name of each tensor that a program gives.

    It is the place, or the key, within what the module returns.

    A single tensor has the name "".
    """
    spec = program.call_spec.out_spec
    leaves, _ = _pytree.tree_flatten_with_path(_pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    return [".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path)
            for path, _ in leaves]  # fmt: skip


def choose_output(program: torch.export.ExportedProgram, output: str | None, image: torch.fx.Node) -> tuple[int, Tail]:
    """The place of the output that is read, and what is left out of it.

    It is the only one, the one of this name, or, of several that all come from the same logits, the first without a
    label. Raises InputError where there is none, or it is no tensor.
    """
    specs = program.graph_signature.output_specs
    results = next(node for node in program.graph.nodes if node.op == "output").args[0]
    if any(spec.kind == OutputKind.BUFFER_MUTATION for spec in specs):
        raise InputError("network: it changes one of its buffers while it predicts; accepted are fixed weights")
    names = output_names(program)
    if output is not None and output not in names:
        raise InputError(f"output: got {output!r}, but the outputs of the network are {names}")
    depends = _depending(program.graph, image)
    tails = [_tail(node, depends) if isinstance(node, torch.fx.Node) else None for node in results]
    place = 0 if output is None else names.index(output)
    notes: tuple[str, ...] = ()
    if output is None and len(names) != 1:
        shown, known = ", ".join(names[:10]), [tail for tail in tails if tail is not None]
        if len(known) < len(names) or len({tail.begin for tail in known}) != 1:
            raise InputError(f"network: it gives {len(names)} outputs ({shown}); accepted is one, named by output")
        place = min(range(len(names)), key=lambda number: known[number].label)
        notes = (f"its outputs ({shown}) all come from the same logits, which are read",)
    tail = tails[place]
    if specs[0].kind != OutputKind.USER_OUTPUT or tail is None:
        raise InputError("network: its output is no tensor; accepted is one tensor of logits")
    return place, Tail(tail.result, tail.begin, tail.gone, tail.label, (*notes, *tail.notes))


def _depending(graph: torch.fx.Graph, image: torch.fx.Node) -> set[torch.fx.Node]:
    """The nodes that depend on the image."""
    found = {image}
    for node in graph.nodes:
        if not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _tail(output: torch.fx.Node, depends: set[torch.fx.Node]) -> Tail:
    """What is left out of one output."""
    at = output
    path: list[torch.fx.Node] = []
    kinds: list[str] = []
    sources: dict[torch.fx.Node, torch.fx.Node] = {}
    while True:
        kind = _kind(at, path)
        given = [source for source in at.all_input_nodes if source in depends and not is_size(source)]
        if kind not in BEHIND_LOGITS or len(given) != 1:
            break
        path.append(at)
        kinds.append(kind)
        sources[at] = given[0]
        at = given[0]
    pair = _two_classes(at)
    path.reverse()
    kinds.reverse()
    begin, chosen = parted(kinds, pair is not None)
    path, kinds, chosen = path[begin:], kinds[begin:], chosen - begin
    plain = Tail(output, sources[path[0]] if path else at)
    # Numbers that are cut to whole ones are neither logits nor their labels.
    if any(not _is_floating(node) for node in path[:chosen]):
        return Tail(output, output)
    gone = {node: (sources[node], 1.0) for node, kind in zip(path, kinds, strict=True) if kind in GONE}
    if pair is not None:
        rest, sigmoid = pair
        logit = sigmoid.all_input_nodes[0]
        gone |= {sigmoid: (logit, 1.0), rest: (logit, 0.0)}
        plain = Tail(output, logit)
    label = path[chosen] if chosen < len(path) else None
    notes = notes_of(kinds[:chosen], None if label is None else kinds[chosen], pair is not None)
    if not notes:
        return plain
    result = output if label is None else sources[label]
    return Tail(result, plain.begin, gone, label is not None, notes)


def _kind(node: torch.fx.Node, path: list[torch.fx.Node]) -> str:
    """ONNX's name of what a node does behind logits, "" where it may not stand there."""
    if node.op != "call_function":
        return ""
    if node.target is operator.getitem:
        return "Identity"
    name = operator_of(node)
    if name == "max" and path and path[-1].target is operator.getitem and path[-1].args[1] == 1:
        return "ArgMax"
    kind = _KINDS.get(name) or _KINDS.get(name.rstrip("_"), "")
    if kind in ("Softmax", "LogSoftmax"):
        count = len(node.meta["val"].shape)
        along = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        # Along the batch it mixes images.
        return kind if isinstance(along, int) and along % count else ""
    return kind


def _two_classes(joined: torch.fx.Node) -> tuple[torch.fx.Node, torch.fx.Node] | None:
    """The nodes of 1 - sigmoid and of the sigmoid that a tensor holds side by side."""
    parts = joined.args[0] if joined.op == "call_function" and operator_of(joined) in ("cat", "concat") else ()
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        return None
    rest, sigmoid = parts
    if not isinstance(rest, torch.fx.Node) or not isinstance(sigmoid, torch.fx.Node):
        return None
    if (operator_of(rest), operator_of(sigmoid)) != ("rsub", "sigmoid") or rest.args[0] is not sigmoid:
        return None
    return (rest, sigmoid) if len(rest.args) == 2 and rest.args[1] == 1 and not rest.kwargs else None


def _is_floating(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return not isinstance(value, torch.Tensor) or value.dtype.is_floating_point
