"""An ONNX file as a message without the numbers of its large tensors.

The message is walked field by field, as protobuf writes it, down to the tensors of the main graph and of its nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

ITSELF: Final = "\0"
"""The location of numbers that are in the model's own file, a name that no other file has."""
LARGE: Final = 2**15
"""Bytes of a message from which on it is looked into, and of numbers from which on they stay in the file."""

_BYTES, _FIXED = 2, {1: 8, 5: 4}
_VARINT = 0
_GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "graph", "node", "attribute", "tensor"
_WITHIN: Final = {
    "model": {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR},
}
"""Fields that are looked into, by message: ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto."""
_NUMBERS: Final = {9: None, 4: 1, 10: 11}
"""Fields of a tensor's numbers, and the one type whose packed numbers stand there as in memory: float and double."""
_TYPE, _EXTERNAL, _LOCATION = 2, 13, 14


class DamagedError(Exception):
    """What was walked is no protobuf message."""


@dataclass(frozen=True)
class _Field:
    """A field of a message: its number, the bytes of it from ``start`` on, and where its content begins and ends."""

    number: int
    kind: int
    start: int
    content: int
    end: int
    value: int = 0


def skeleton(file: BinaryIO, size: int) -> bytes:
    """The model in a file of so many bytes, without large numbers.

    Their tensors say in which bytes of :data:`ITSELF` they are, as for external data.

    Raises DamagedError where the file is no protobuf message.
    """
    return _rewritten(file, "model", 0, size)


def _rewritten(file: BinaryIO, kind: str, start: int, end: int) -> bytes:
    """The message between two places of a file, without large numbers."""
    if end - start < LARGE:
        return _read(file, start, end)
    if kind == _TENSOR:
        return _tensor(file, start, end)
    parts = []
    for field in _fields(file, start, end):
        inner = _WITHIN[kind].get(field.number) if field.kind == _BYTES else None
        if inner is None:
            parts.append(_read(file, field.start, field.end))
        else:
            parts.append(_written(field.number, _rewritten(file, inner, field.content, field.end)))
    return b"".join(parts)


def _tensor(file: BinaryIO, start: int, end: int) -> bytes:
    fields = list(_fields(file, start, end))
    kinds = [field.value for field in fields if (field.number, field.kind) == (_TYPE, _VARINT)]
    numbers = [field for field in fields if field.number in _NUMBERS]
    large = [field for field in numbers if field.kind == _BYTES and field.end - field.content >= LARGE]
    plain = len(numbers) == len(large) == len(kinds) == 1 and _NUMBERS[numbers[0].number] in (None, kinds[0])
    if not plain or any(field.number in (_EXTERNAL, _LOCATION) for field in fields):
        return _read(file, start, end)
    (held,) = large
    parts = [_read(file, field.start, field.end) for field in fields if field is not held]
    told = {"location": ITSELF, "offset": held.content, "length": held.end - held.content}
    for key, value in told.items():
        parts.append(_written(_EXTERNAL, _written(1, key.encode()) + _written(2, str(value).encode())))
    return b"".join([*parts, _varint(_LOCATION << 3 | _VARINT), _varint(1)])


def _fields(file: BinaryIO, start: int, end: int) -> Iterator[_Field]:
    """Yields the fields of the message between two places, in order."""
    at = start
    while at < end:
        # A tag and a length have 10 bytes each at most.
        file.seek(at)
        head = file.read(min(20, end - at))
        tag, place = _number(head, 0)
        kind, value = tag & 7, 0
        content = at + place
        if kind == _VARINT:
            value, place = _number(head, place)
            after = at + place
        elif kind == _BYTES:
            length, place = _number(head, place)
            content = at + place
            after = content + length
        elif kind in _FIXED:
            after = content + _FIXED[kind]
        else:
            raise DamagedError
        if after > end:
            raise DamagedError
        yield _Field(tag >> 3, kind, at, content, after, value)
        at = after


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = 0
    for place in range(at, min(at + 10, len(data))):
        value |= (data[place] & 127) << 7 * (place - at)
        if data[place] < 128:
            return value, place + 1
    raise DamagedError


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _written(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    data = file.read(end - start)
    if len(data) != end - start:
        raise DamagedError
    return data
