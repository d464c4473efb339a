"""Whether an exported program may be run: its operators and its tensors' sizes.

It is run without numbers, before it is run with them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from oamip_model.network.graph import MOST, refuse, room_for
from oamip_model.network.readers.torch.endings import is_behind_logits
from oamip_model.network.readers.torch.nodes import layer_of, operator_of
from oamip_model.network.readers.torch.operators import is_accepted

_OF_CONSTANTS = {
    "_to_copy", "_weight_norm", "arange", "clamp_min", "clone", "contiguous", "copy", "detach", "detach_", "div",
    "dot", "eye", "lift_fresh", "lift_fresh_copy", "linalg_vector_norm", "linspace", "matmul", "mv", "norm",
    "norm_except_dim", "numpy_T", "ones", "ones_like", "outer", "pow", "rsqrt", "softmax", "split", "square",
    "stack", "sum", "t", "transpose", "true_divide", "type_as", "vdot", "zeros", "zeros_like", "sym_size",
    "_assert_scalar", "_assert_tensor_metadata", "feature_dropout", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
"""Operators that a program may hold beside accepted ones and torch's core: they work out weights or sizes."""
_BATCH, _LARGEST_BATCH = 2, 1024
"""Images of a batch whose number is open, and of the largest one."""


def check_operators(program: torch.export.ExportedProgram) -> None:
    """Check that running a program from a file does arithmetic only.

    Dead operators are included.

    Raises InputError naming the first layer that is neither accepted nor such an operator.
    """
    for node in program.graph.nodes:
        target = node.target
        known = not isinstance(target, torch._ops.OpOverload) or (
            torch.Tag.core in target.tags
            or is_accepted(operator_of(node))
            or operator_of(node) in _OF_CONSTANTS
            or is_behind_logits(operator_of(node))
        )
        if node.op == "call_function" and not known:
            raise refuse(*layer_of(node))


def check_sizes(program: torch.export.ExportedProgram) -> None:
    """Check that no tensor of a program is far larger than its file holds.

    The tensors are those that it works out.

    Raises InputError naming the first operator that gives one.
    """
    signature = program.graph_signature
    names = signature.inputs_to_parameters | signature.inputs_to_buffers | signature.inputs_to_lifted_tensor_constants
    stored = {**program.state_dict, **program.constants}
    held = {source: stored[name] for source, name in names.items() if isinstance(stored.get(name), torch.Tensor)}
    # In a mode of its own, since in the program's mode a comparison of the batch here would become a condition on it.
    mode = FakeTensorMode()
    inputs, batch = [], 1
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        value = node.meta.get("val")
        if node.name in held:
            value = mode.from_tensor(held[node.name])
        elif isinstance(value, torch.Tensor):
            shape = [size if isinstance(size, int) else _BATCH for size in value.shape]
            batch = max(batch, *shape[:1])
            with mode:
                value = torch.empty(shape, dtype=value.dtype)
        inputs.append(value)
    count = sum(tensor.numel() for tensor in held.values())
    sizes = _Sizes(program.graph_module, set(signature.user_inputs), count, MOST * min(batch, _LARGEST_BATCH))
    with mode:
        sizes.run(*inputs)


class _Sizes(torch.fx.Interpreter):
    """Runs a graph on tensors without numbers, and refuses what is too large."""

    def __init__(self, module: torch.fx.GraphModule, inputs: set[Any], stored: int, most: int) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.images, self.room, self.most = inputs, room_for(stored), most

    def run_node(self, n: torch.fx.Node) -> Any:
        """The output of one node, after its sizes are checked."""
        found = super().run_node(n)
        if n.op != "call_function":
            return found
        parts = found if isinstance(found, tuple | list) else [found]
        size = max((part.numel() for part in parts if isinstance(part, torch.Tensor)), default=0)
        if any(source.name in self.images for source in n.all_input_nodes):
            self.images.add(n.name)
        else:
            self.room -= size
        if size > self.most or self.room < 0:
            raise refuse(n.name, str(n.target), "works out a tensor of far more numbers than the file has")
        return found
