"""ONNX files as messages, with limits on what they refer to.

Nothing outside their folder is read, and no tensor is larger than what is stored of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError, Message

from oamip_model.errors import InputError
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.skeleton import ITSELF, DamagedError, skeleton
from oamip_model.read import check_regular

_LARGEST: Final = 2**31
"""Bytes that one message can have; larger networks keep their weights in other files."""
_NODES: Final = 10**6
_NESTED: Final = 50
"""Levels of functions that call functions."""


def load_model(path: Path) -> onnx.ModelProto:
    """Loads the model in a file, without its large weights.

    Those, and what other files of the folder hold, are read when they are asked for.

    Raises InputError for a file that is no such message, and for weights outside the folder. Also
    for tensors that are not stored in full, and functions that call one another without end. Errors
    of onnx are raised too.
    """
    where = f"network: {path}"
    size = check_regular(path, where)
    if size > _LARGEST:
        raise InputError(f"{where} is too large, {size} bytes; accepted are {_LARGEST}")
    model = onnx.ModelProto()
    try:
        with path.open("rb") as file:
            model.ParseFromString(skeleton(file, size))
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror})") from None
    except (DecodeError, DamagedError):
        raise InputError(f"{where} cannot be read as an ONNX model, it is damaged or something else") from None
    apart = stored_apart(model)
    kept = {id(tensor) for tensor in apart}
    for tensor in list(_tensors(model)):
        _check_tensor(tensor, path, where)
        if id(tensor) not in kept:
            Numbers(path).inline(tensor)
    if model.functions:
        _check_calls(model, where)
        model = onnx.inliner.inline_local_functions(model)
    return model


def stored_apart(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The tensors whose numbers may be left in a file: weights and constants."""
    constants = (node for node in model.graph.node if node.op_type == "Constant")
    return [*model.graph.initializer, *(entry.t for node in constants for entry in node.attribute)]


def check_model(model: onnx.ModelProto) -> None:
    """Checks a model by onnx's own checker.

    Numbers that are in a file are left out of it. Raises what the checker raises.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in stored_apart(bare):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            # Of no numbers, which are checked when they are read.
            tensor.CopyFrom(onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    if bare.ir_version == 3:
        # Tools that simplify files leave weights out of the inputs, which is allowed from version 4 on.
        bare.ir_version = 4
    for entry in (*bare.graph.input, *bare.graph.output):
        # Shapes and types of outputs are worked out, and some exporters leave them out; those of inputs are asked for.
        kind = entry.type.tensor_type
        if entry.type.WhichOneof("value") in (None, "tensor_type"):
            kind.shape.SetInParent()
            kind.elem_type = kind.elem_type or onnx.TensorProto.FLOAT
    onnx.checker.check_model(bare)


def _messages(message: Message) -> Iterator[Message]:
    """Yields a message and all that are within it."""
    waiting: list[Message] = [message]
    while waiting:
        at = waiting.pop()
        yield at
        for field, value in at.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    return (message for message in _messages(model) if isinstance(message, onnx.TensorProto))


def _check_tensor(tensor: onnx.TensorProto, model: Path, where: str) -> None:
    """Checks that the numbers that a tensor declares are there, in the message or in a file of its folder."""
    what = f"{where} cannot be read: its tensor {_shown(tensor.name)}"
    count = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0:
        raise InputError(f"{what} has shape {tuple(tensor.dims)}")
    stored = tensor.ByteSize()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        stored = _external_bytes(tensor, model, what)
    # Of the smallest numbers there are, two fit into a byte.
    if count > 2 * stored:
        raise InputError(f"{what} has shape {tuple(tensor.dims)}, but the file holds {stored} bytes for it")


def _external_bytes(tensor: onnx.TensorProto, model: Path, what: str) -> int:
    """How many bytes of a file a tensor takes, which must be in the model's folder."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location, folder = told.get("location", ""), model.parent.resolve()
    location = model.name if location == ITSELF else _named(location, folder, what)
    size = check_regular(folder / location, f"{what} is in the file {location}, which")
    try:
        offset = int(told.get("offset", "0"))
        length = int(told.get("length", str(size - offset)))
    except ValueError:
        raise InputError(f"{what} is at no numbered place of the file {location}") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise InputError(f"{what} is at bytes {offset} to {offset + length} of {location}, which has {size}")
    return length


def _named(location: str, folder: Path, what: str) -> str:
    """The name of a file with numbers, which leads out of the model's folder nowhere."""
    steps = PurePosixPath(location).parts
    if (
        not location
        or not location.isprintable()
        or "\\" in location
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).drive
        or ".." in steps
    ):
        raise InputError(f"{what} is in the file {_shown(location)}; accepted are files in the folder of the network")
    if not (folder / location).resolve().is_relative_to(folder):
        raise InputError(f"{what} is in the file {location}, a link that leaves the folder of the network")
    return location


def _check_calls(model: onnx.ModelProto, where: str) -> None:
    """Checks that a model is of moderate size once the functions that it defines are written out."""
    known = {(function.domain, function.name): function for function in model.functions}

    @cache
    def size(key: tuple[str, str], depth: int) -> int:
        if depth > _NESTED:
            raise InputError(f"{where}: its function {_shown(key[1])} calls functions without end")
        return nodes(known[key].node, depth)

    def nodes(given: Any, depth: int) -> int:
        found = 0
        for node in given:
            key = (node.domain, node.op_type)
            inner = (entry for attribute in node.attribute for entry in (attribute.g, *attribute.graphs))
            found += size(key, depth + 1) if key in known else 1
            found += sum(nodes(graph.node, depth) for graph in inner)
        if found > _NODES:
            raise InputError(f"{where} has more than {_NODES} operators when its functions are written out")
        return found

    nodes(model.graph.node, 0)


def _shown(name: str) -> str:
    return name if name.isprintable() and 0 < len(name) < 80 else repr(name)[:80]
