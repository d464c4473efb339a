"""Modules and .pt2 files: from the source to its operator graph.

A forward pass checks what was read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from oamip_model.errors import InputError
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.judge import Ending, Judge, Source, left_out
from oamip_model.network.readers.torch.nodes import first_line, leaf_of, output_names
from oamip_model.network.readers.torch.plain import deep_copy, hooked, in_double, unwrapped
from oamip_model.network.readers.torch.pt2_archive import load_program
from oamip_model.network.readers.torch.quiet import quiet
from oamip_model.network.readers.torch.reader import export_module, read_exported
from oamip_model.network.readers.torch.sizes import check_operators, check_sizes


def read_module(module: torch.nn.Module, input_shape: Shape | None, output: str | None = None) -> Source:
    """The graph of a module and its forward pass.

    Raises InputError for whatever is not an nn.Module in eval mode, made of accepted layers.
    """
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"network: got a {type(module).__name__}; accepted are a torch.nn.Module, a .pt2 and an .onnx file"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError("network: got a TorchScript module; accepted are a torch.nn.Module, a .pt2 and an .onnx file")
    module = unwrapped(module)
    if input_shape is None:
        input_shape = _infer_shape(module)
    program = export_module(module, input_shape)
    graph, ending = read_exported(program, set(hooked(module)), output)
    place = 0 if output is None else output_names(program).index(output)
    return Source(graph, [Judge("torch", _forward_of(module, graph.input_shape, place))], None, _told(ending), ending)


def read_pt2(path: Path, input_shape: Shape | None, output: str | None = None) -> Source:
    """The graph of an exported program in a file, and its forward pass.

    Raises InputError where the file cannot be read, or takes images of another shape than ``input_shape``.
    """
    try:
        with quiet():
            program = load_program(path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"network: {path} cannot be read as an exported program ({type(error).__name__}: {first_line(error)})"
        ) from error
    check_operators(program)
    try:
        with quiet():
            check_sizes(program)
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"network: {path} cannot be run, its parts do not fit together ({reason})") from None
    graph, ending = read_exported(program, output=output)
    place = 0 if output is None else output_names(program).index(output)
    if input_shape is not None and input_shape != graph.input_shape:
        raise InputError(f"input_shape: got {input_shape}, but {path} takes images of shape {graph.input_shape}")
    images = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0])
    example = images.meta["val"]
    batch = example.shape[0]
    as_stored = _forward(program.module(), place, example.dtype, example.device)
    # In single precision first, which takes no copy of the weights; where that rounds, double precision decides. Half
    # precision rounds more than a check may allow, and a program that fixes its precision runs in that alone.
    judges = [
        Judge("torch in double precision", _in_double(program, place, example.device)),
        Judge("torch", as_stored),
    ]
    if example.dtype is torch.float32:
        judges.insert(0, Judge("torch in single precision", as_stored, rounding=np.inf))
    return Source(graph, judges, batch if isinstance(batch, int) else None, _told(ending), ending)


def _in_double(program: torch.export.ExportedProgram, place: int, device: torch.device) -> Callable[[Array], Array]:
    """The forward pass in double precision, of a copy that is made where it is asked for."""

    def run(images: Array) -> Array:
        # A copy, as modules of a program share its weights.
        return _forward(copy.deepcopy(program.module()).double(), place, torch.float64, device)(images)

    return run


def _told(ending: Ending | None) -> tuple[str, ...]:
    return () if ending is None else (left_out(ending.kind),)


def _infer_shape(module: torch.nn.Module) -> Shape:
    """The input shape of a module whose first layer is a Linear one."""
    plain = (torch.nn.Identity, torch.nn.Dropout)
    parts = [part for part in module.modules() if isinstance(part, torch.nn.Linear) or not list(part.children())]
    first = next((part for part in parts if not isinstance(part, plain)), None)
    if not isinstance(first, torch.nn.Linear):
        raise InputError(
            "input_shape: got none, and the first layer is not a Linear one; "
            "accepted is the shape of one image, such as (1, 28, 28)"
        )
    return (first.in_features,)


def _forward_of(module: torch.nn.Module, input_shape: Shape, place: int) -> Callable[[Array], Array]:
    """The forward pass, in double precision unless the module fixes another one (``x.float()``) or cannot be copied."""
    try:
        run = _forward(_double(module), place)
        run(np.zeros((2, *input_shape)))
    except (RuntimeError, TypeError):
        parameter = next(module.parameters(), None)
        if parameter is None:
            return _forward(module, place)
        return _forward(module, place, parameter.dtype, parameter.device)
    return run


def _double(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of the module in double precision, on the processor."""
    twin = deep_copy(module).cpu()
    for part in twin.modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                setattr(part, name, value.cpu())
    return in_double(twin)


def _forward(
    module: torch.nn.Module, place: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> Callable[[Array], Array]:
    def run(images: Array) -> Array:
        with torch.no_grad():
            result = leaf_of(module(torch.from_numpy(images).to(device, dtype, copy=True)), place)
        return np.asarray(result.detach().cpu().to(torch.float64).numpy())

    return run
