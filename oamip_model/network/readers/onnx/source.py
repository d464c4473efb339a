"""ONNX files: from the file to its operator graph and its judges.

Judges are programs that run it, to check what was read.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from oamip_model.errors import InputError
from oamip_model.network.maps import Shape
from oamip_model.network.readers.judge import Source
from oamip_model.network.readers.onnx.cuts import drop_unneeded, in_order, let_numbers_in
from oamip_model.network.readers.onnx.endings import choose_output, leave_out_ending
from oamip_model.network.readers.onnx.file import check_model, load_model
from oamip_model.network.readers.onnx.linear_models import write_linear_models
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.reader import read_model
from oamip_model.network.readers.onnx.runs import FLOATS, judges_of


def read_onnx(path: Path, input_shape: Shape | None, output: str | None = None) -> Source:
    """The graph of an .onnx file, and the programs that run it.

    The first axis of its input is that of the images, unless operators drop it, or there is none.

    Raises InputError where the file cannot be read, or has several inputs or an output of another
    name. Also where it leaves more than the batch open without ``input_shape``, or takes images of
    another shape.
    """
    try:
        model = load_model(path)
        in_order(model)
        check_model(model)
        write_linear_models(model)
    except InputError:
        raise
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
        raise InputError(
            f"network: {path} cannot be read as an ONNX model ({type(error).__name__}: {reason})"
        ) from error
    notes = choose_output(model, f"network: {path}", output)
    notes = (*notes, *leave_out_ending(model))
    drop_unneeded(model)
    notes = (*let_numbers_in(model), *notes)
    image, numbers = _image(model, path), Numbers(path)
    problem: InputError | None = None
    for shape, whole, batch in _readings(image, path, input_shape):
        try:
            graph = read_model(model, numbers, image.name, (shape, whole), batch)
        except InputError as error:
            # Without the frames of the reading, which hold all that it worked out.
            problem = problem or InputError(str(error))
            continue
        fixed = next(iter(_sizes(image)), None) if batch is not None else 1
        if batch is None and whole[0] > 1 and problem is not None:
            notes = (f"its first axis, of {whole[0]}, is mixed: the whole input of shape {whole} is one image", *notes)
        judges = judges_of(model, numbers, image.name, None if batch is not None else whole)
        return Source(graph, judges, fixed, notes)
    assert problem is not None
    raise problem


def _image(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    """The model's one input."""
    weights = {entry.name for entry in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    if len(inputs) != 1:
        raise InputError(f"network: {path} takes {len(inputs)} inputs; accepted is one batch of images")
    if model.graph.sparse_initializer:
        raise InputError(f"network: {path} holds sparse weights; accepted are dense ones")
    if inputs[0].type.tensor_type.elem_type not in FLOATS:
        raise InputError(f"network: {path} takes an input that does not hold floating-point numbers")
    return inputs[0]


def _sizes(image: onnx.ValueInfoProto) -> list[int | None]:
    """The sizes of an input's axes, None where one is open."""
    entries = image.type.tensor_type.shape.dim
    return [entry.dim_value if entry.HasField("dim_value") and entry.dim_value > 0 else None for entry in entries]


def _readings(image: onnx.ValueInfoProto, path: Path, given: Shape | None) -> list[tuple[Shape, Shape, int | None]]:
    """Ways to take an input, the likely ones first: the shape of one image, that of the input, and the batch.

    The batch is None where the input is one image.
    """
    sizes = _sizes(image)
    if not image.type.tensor_type.HasField("shape"):
        if given is None:
            raise InputError(f"network: {path} states no shape of its input; pass input_shape, the shape of one image")
        sizes = [None] * (1 + len(given))
    if not sizes:
        raise InputError(f"network: {path} takes inputs of {len(sizes)} axes; accepted are batches of images (n, ...)")
    if len(sizes) == 1 or (given is not None and len(given) == len(sizes) and sizes[0] is not None):
        shape = _matched(sizes, path, given)
        return [(shape, shape, None)]
    batch, shape = sizes[0], _matched(sizes[1:], path, given)
    if batch == 1:
        # As a batch of one, or where some operator drops that axis, as one image.
        return [(shape, (1, *shape), 1), (shape, (1, *shape), None)]
    readings: list[tuple[Shape, Shape, int | None]] = [(shape, (batch or 2, *shape), batch or 2)]
    if batch is None:
        # What leaves its batch open may still be made for a batch of one.
        readings.append((shape, (1, *shape), None))
    else:
        # Where operators mix what is along a first axis of a fixed length, that is no batch.
        readings.append(((batch, *shape), (batch, *shape), None))
    return readings


def _matched(fixed: list[int | None], path: Path, given: Shape | None) -> Shape:
    """The shape of one image, from the file's and the one that is given."""
    stored = tuple("?" if size is None else size for size in fixed)
    if given is None:
        if None in fixed:
            raise InputError(f"network: {path} takes images of shape {stored}; pass input_shape to fix the open sizes")
        return tuple(size for size in fixed if size is not None)
    if len(given) != len(fixed) or any(size not in (None, n) for size, n in zip(fixed, given, strict=True)):
        raise InputError(f"input_shape: got {given}, but {path} takes images of shape {stored}")
    return given
