"""The numbers of tensors, read from where they are when they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from oamip_model.errors import InputError
from oamip_model.network.readers.onnx.skeleton import ITSELF

_PLAIN = {
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32,
    TensorProto.INT64, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}  # fmt: skip
"""Types that numpy reads from a file."""


@dataclass(frozen=True)
class Stored:
    """Numbers of a tensor in a file, which are read anew each time.

    They take ``length`` bytes from ``offset`` on.
    """

    name: str
    path: Path
    kind: int
    shape: tuple[int, ...]
    offset: int
    length: int

    def read(self) -> NDArray[Any]:
        """The numbers.

        Raises InputError where there are others than the shape and type say.
        """
        try:
            if self.kind not in _PLAIN:
                tensor = TensorProto(data_type=self.kind, dims=self.shape, raw_data=self._from_file(np.uint8).tobytes())
                return np.asarray(numpy_helper.to_array(tensor))
            dtype = onnx.helper.tensor_dtype_to_np_dtype(self.kind)
            return self._from_file(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(self.shape)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _misfit(self.name, self.shape, error) from None

    def _from_file(self, dtype: Any) -> NDArray[Any]:
        return np.fromfile(self.path, dtype, self._count(dtype), offset=self.offset)

    def _count(self, dtype: Any) -> int:
        count = self.length // int(np.dtype(dtype).itemsize)
        # Before they are read, as a shape that lies may be huge.
        if self.kind in _PLAIN and count != math.prod(self.shape):
            raise ValueError(f"{count} numbers are stored")
        return count


@dataclass(frozen=True)
class Numbers:
    """The numbers of a model's tensors.

    They are in its messages, in its file, or in others of its folder.
    """

    path: Path

    def of(self, tensor: TensorProto) -> NDArray[Any] | Stored:
        """A tensor's numbers, or where they are.

        Raises InputError where the message does not fit its shape.
        """
        if tensor.data_location == TensorProto.EXTERNAL:
            told = {entry.key: entry.value for entry in tensor.external_data}
            inside = told["location"] == ITSELF
            path = self.path if inside else self.path.parent.resolve() / told["location"]
            offset = int(told.get("offset", "0"))
            length = int(told["length"]) if "length" in told else path.stat().st_size - offset
            return Stored(tensor.name, path, tensor.data_type, tuple(tensor.dims), offset, length)
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError) as error:
            raise _misfit(tensor.name, tuple(tensor.dims), error) from None

    @property
    def folder(self) -> Path:
        """The folder of the model's file, behind all links."""
        return self.path.resolve().parent

    def told(self, tensor: TensorProto) -> bool:
        """Whether a tensor is in a file of :attr:`folder`.

        Its message then names the file by its path from there.
        """
        held = self.of(tensor) if tensor.data_location == TensorProto.EXTERNAL else None
        if not isinstance(held, Stored):
            return False
        path = held.path.resolve()
        if not path.is_relative_to(self.folder) or not str(path).isprintable():
            return False
        del tensor.external_data[:]
        where = {"location": path.relative_to(self.folder).as_posix(), "offset": held.offset, "length": held.length}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        return True

    def array(self, tensor: TensorProto) -> NDArray[Any]:
        """A tensor's numbers."""
        found = self.of(tensor)
        return found.read() if isinstance(found, Stored) else found

    def inline(self, tensor: TensorProto) -> None:
        """Put the numbers of a tensor into its message."""
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(self.array(tensor), tensor.name))


def _misfit(name: str, shape: tuple[int, ...], error: Exception) -> InputError:
    return InputError(f"network: its tensor {name!r} of shape {shape} does not fit its numbers ({error})")
