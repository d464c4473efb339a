"""Outputs of an exported program: their names, and what stands behind the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree

from oamip_model.network.readers.judge import Ending
from oamip_model.network.readers.torch.nodes import operator_of

_ENDINGS = {
    "softmax": "Softmax", "_softmax": "Softmax", "log_softmax": "LogSoftmax", "_log_softmax": "LogSoftmax",
    "sigmoid": "Sigmoid",
}  # fmt: skip


def output_names(program: torch.export.ExportedProgram) -> list[str]:
    """The name of each tensor that a program gives: its place, or its key, within what the module returns.

    A single tensor has the name "".
    """
    spec = program.call_spec.out_spec
    leaves, _ = _pytree.tree_flatten_with_path(_pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    return [".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path)
            for path, _ in leaves]  # fmt: skip


def leaf_of(found: Any, place: int) -> torch.Tensor:
    """One tensor of what a module returned."""
    leaf: torch.Tensor = _pytree.tree_leaves(found)[place]
    return leaf


def ending_of(result: torch.fx.Node) -> tuple[torch.fx.Node, Ending | None]:
    """The logits before a softmax, its logarithm or a sigmoid at the end, and which of them it is."""
    kind = _ENDINGS.get(operator_of(result)) if result.op == "call_function" else None
    source = result.args[0] if kind is not None else None
    if kind is None or not isinstance(source, torch.fx.Node):
        return result, None
    shape = result.meta["val"].shape
    axis = 0 if kind == "Sigmoid" else int(result.args[1]) % len(shape)  # type: ignore[arg-type]
    if kind != "Sigmoid" and axis == 0:
        return result, None
    return source, Ending(kind, axis, tuple(int(n) for n in shape[1:]))
