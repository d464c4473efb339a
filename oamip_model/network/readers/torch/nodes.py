"""Nodes of an exported program: which layer and operator each is.

It also says what they need.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.utils import _pytree


def owner_of(target: str) -> str:
    """The module that a parameter belongs to, or its own name.

    It is its own where it is not a ``weight`` or a ``bias``.

    >>> owner_of("features.0.weight"), owner_of("fc.weight_orig"), owner_of("head.matrix")
    ('features.0', 'fc', 'head.matrix')
    """
    module, _, name = target.partition(".parametrizations.")[0].rpartition(".")
    if ".parametrizations." in target:
        return target.partition(".parametrizations.")[0]
    usual = {"weight", "weight_orig", "weight_mask", "weight_g", "weight_v", "bias", "running_mean", "running_var"}
    return module if module and name in usual else target


def needed(graph: torch.fx.Graph, result: torch.fx.Node) -> set[torch.fx.Node]:
    """What the result depends on, and every operator that works in place."""
    needed: set[torch.fx.Node] = set()
    waiting = [result, *(node for node in graph.nodes if is_in_place(node))]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    return needed


def memory(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    """Where a tensor is, which is the same for weights that two modules share."""
    return tensor.data_ptr(), tensor.shape


def is_size(node: torch.fx.Node) -> bool:
    """Whether the node works out a number.

    The batch size that a reshape asks for is one.
    """
    return isinstance(node.meta.get("val"), int | float | torch.SymInt | torch.SymFloat | torch.SymBool)


def is_in_place(node: torch.fx.Node) -> bool:
    """Whether the node changes one of its inputs."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def layer_of(node: torch.fx.Node) -> tuple[str, str]:
    """The layer's name and type.

    They are the module's, if it is one of torch's own, else the operator's.
    """
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    path = "" if path.startswith("_empty_nn_module_stack") else re.sub(r"@\d+", "", path)
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    if path and kind.startswith("torch.nn.modules.") and ".container." not in kind:
        return path, kind.rpartition(".")[2]
    return ".".join(part for part in (path, node.name) if part), f"operator {operator_of(node).rstrip('_')}"


def operator_of(node: torch.fx.Node) -> str:
    """The name of the node's operator, without its overload."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.partition("::")[2]
    return str(getattr(node.target, "__name__", node.target))


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def leaf_of(found: Any, place: int) -> torch.Tensor:
    """One tensor of what a module returned."""
    leaf: torch.Tensor = _pytree.tree_leaves(found)[place]
    return leaf
