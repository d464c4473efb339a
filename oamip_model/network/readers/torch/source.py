"""Modules and .pt2 files: from the source to its operator graph.

A forward pass checks what was read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from oamip_model.errors import InputError
from oamip_model.network.held import LARGE
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.judge import Judge, Source
from oamip_model.network.readers.torch.nodes import first_line, leaf_of, owner_of
from oamip_model.network.readers.torch.plain import deep_copy, hooked, in_double, shared_copy, unwrapped
from oamip_model.network.readers.torch.pt2_archive import load_program
from oamip_model.network.readers.torch.quiet import quiet
from oamip_model.network.readers.torch.reader import read_exported
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
    program = _export(module, input_shape)
    found = read_exported(program, set(hooked(module)), output)
    graph, place = found.graph, found.place
    if found.logits is not None:
        return Source(graph, _judges_of(found.logits, torch.float32), None, found.notes)
    judges = [Judge("torch", lambda images: _forward_of(module, graph.input_shape, place)(images))]
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    single = all(t.dtype is torch.float32 and t.device.type == "cpu" for t in tensors)
    if single and sum(t.numel() for t in tensors) >= LARGE:
        # First without a copy of so many weights. Where that rounds, double precision decides.
        judges.insert(0, Judge("torch in single precision", _in_single(module, place), rounding=np.inf))
    return Source(graph, judges, None, found.notes)


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
    found = read_exported(program, output=output, owned=True)
    graph, place = found.graph, found.place
    if input_shape is not None and input_shape != graph.input_shape:
        raise InputError(f"input_shape: got {input_shape}, but {path} takes images of shape {graph.input_shape}")
    images = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0])
    example = images.meta["val"]
    batch = example.shape[0] if isinstance(example.shape[0], int) else None
    if found.logits is not None:
        return Source(graph, _judges_of(found.logits, example.dtype), batch, found.notes)
    as_stored = _forward(program.module(), place, example.dtype, example.device)
    # In single precision first, which takes no copy of the weights; where that rounds, double precision decides. Half
    # precision rounds more than a check may allow, and a program that fixes its precision runs in that alone.
    judges = [
        Judge("torch in double precision", _in_double(program, place, example.device)),
        Judge("torch", as_stored),
    ]
    if example.dtype is torch.float32:
        judges.insert(0, Judge("torch in single precision", as_stored, rounding=np.inf))
    return Source(graph, judges, batch, found.notes)


def _in_double(program: torch.export.ExportedProgram, place: int, device: torch.device) -> Callable[[Array], Array]:
    """The forward pass in double precision, of a copy that is made where it is asked for."""

    def run(images: Array) -> Array:
        # A copy, as modules of a program share its weights.
        return _forward(copy.deepcopy(program.module()).double(), place, torch.float64, device)(images)

    return run


def _in_single(module: torch.nn.Module, place: int) -> Callable[[Array], Array]:
    """The forward pass in single precision, of a copy that shares the module's weights."""
    return lambda images: _forward(shared_copy(module), place, torch.float32)(images)


def _export(module: torch.nn.Module, input_shape: Shape) -> torch.export.ExportedProgram:
    """The module as an exported program for a batch of two images.

    Raises InputError where the module is in training mode or torch.export cannot trace it.
    """
    for name, part in module.named_modules():
        if part.training:
            where = f"layer {name} ({type(part).__name__})" if name else f"module {type(module).__name__}"
            raise InputError(f"{where} is in training mode; call .eval() on the module first")
        if ".quantized." in f"{type(part).__module__}.":
            raise InputError(f"layer {name} ({type(part).__name__}) is quantised; accepted are floating-point weights")
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        part = f"layer {owner_of(name)}: its {name.rpartition('.')[2]}"
        if tensor.is_meta or is_lazy(tensor):
            raise InputError(f"{part} holds no values")
        if tensor.is_complex():
            raise InputError(f"{part} holds complex numbers; accepted are real ones")
    parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
    dtype, device = (parameter.dtype, parameter.device) if parameter is not None else (torch.float32, None)
    example = torch.zeros(2, *input_shape, dtype=dtype, device=device)
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(module, (example,), strict=False)
    except Exception as error:
        if "DataDependent" in type(error).__name__ or "data-dependent" in str(error):
            raise InputError(
                f"module {type(module).__name__}: what it computes depends on the values of its images, by a branch, a "
                "loop or .item(); accepted are the same layers for all images"
            ) from error
        raise InputError(
            f"module {type(module).__name__}: torch.export cannot trace it on images of shape {input_shape} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def _judges_of(logits: Callable[[torch.dtype], Callable[[Array], Array]], dtype: torch.dtype) -> list[Judge]:
    """Judges of a program up to its logits, by its forward pass in a precision.

    That of single precision takes no copy of the weights. Where it rounds, double precision decides. A program that
    fixes its precision runs in that alone.
    """
    judges = [Judge("torch in double precision", logits(torch.float64)), Judge("torch", logits(dtype))]
    if dtype is torch.float32:
        judges.insert(0, Judge("torch in single precision", logits(dtype), rounding=np.inf))
    return judges


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
