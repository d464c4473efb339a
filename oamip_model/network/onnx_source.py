"""ONNX files: from the file to its operator graph and its judges.

Judges are programs that run it, to check what was read.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from oamip_model.errors import InputError
from oamip_model.network.judge import Source
from oamip_model.network.onnx_file import load_model
from oamip_model.network.onnx_reader import drop_unneeded, read_model
from oamip_model.network.onnx_runs import FLOATS, judges_of
from oamip_model.network.ops import Shape


def read_onnx(path: Path, input_shape: Shape | None) -> Source:
    """The graph of an .onnx file, and the programs that run it.

    Raises InputError where the file cannot be read, has several inputs or outputs, leaves more than the batch open
    without ``input_shape``, or takes images of another shape.
    """
    try:
        model = load_model(path)
        # By its path, or files of more than 2 GB are refused; it takes none that is not UTF-8.
        name = str(path)
        onnx.checker.check_model(name if name.isprintable() or name.isascii() else model)
    except InputError:
        raise
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
        raise InputError(
            f"network: {path} cannot be read as an ONNX model ({type(error).__name__}: {reason})"
        ) from error
    image = _image(model, path)
    drop_unneeded(model)
    shape, batch = _shape(image, path, input_shape)
    return Source(read_model(model, image.name, shape, batch or 2), judges_of(model, image.name), batch)


def _image(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    """The model's one input."""
    weights = {entry.name for entry in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    if len(inputs) != 1:
        raise InputError(f"network: {path} takes {len(inputs)} inputs; accepted is one batch of images")
    if len(model.graph.output) != 1:
        raise InputError(f"network: {path} gives {len(model.graph.output)} outputs; accepted is one tensor of logits")
    if model.graph.sparse_initializer:
        raise InputError(f"network: {path} holds sparse weights; accepted are dense ones")
    if inputs[0].type.tensor_type.elem_type not in FLOATS:
        raise InputError(f"network: {path} takes an input that does not hold floating-point numbers")
    return inputs[0]


def _shape(image: onnx.ValueInfoProto, path: Path, given: Shape | None) -> tuple[Shape, int | None]:
    """Shape of one image, and the batch size if it is fixed."""
    tensor = image.type.tensor_type
    sizes = [entry.dim_value if entry.HasField("dim_value") else None for entry in tensor.shape.dim]
    if not tensor.HasField("shape") or len(sizes) < 2:
        raise InputError(f"network: {path} takes inputs of {len(sizes)} axes; accepted are batches of images (n, ...)")
    batch, fixed = sizes[0], sizes[1:]
    stored = tuple("?" if size is None else size for size in fixed)
    if given is None:
        if None in fixed:
            raise InputError(f"network: {path} takes images of shape {stored}; pass input_shape to fix the open sizes")
        return tuple(size for size in fixed if size is not None), batch
    if len(given) != len(fixed) or any(size not in (None, n) for size, n in zip(fixed, given, strict=True)):
        raise InputError(f"input_shape: got {given}, but {path} takes images of shape {stored}")
    return given, batch
