"""One node of an ONNX model as its operator's function sees it.

It has attributes, activations and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from oamip_model.errors import InputError
from oamip_model.network.emit.pointwise import beside
from oamip_model.network.graph import Graph, Value, refuse
from oamip_model.network.held import doubles, kept
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.onnx.numbers import Stored


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the image, and its initializer.

    The initializer is "" where it comes from none. Numbers that are in a file are read whenever they are asked for.
    """

    held: NDArray[Any] | Stored
    origin: str = ""

    @property
    def shape(self) -> Shape:
        """The shape, without reading any number."""
        return self.held.shape

    @property
    def array(self) -> NDArray[Any]:
        """The numbers as they are kept."""
        return self.held.read() if isinstance(self.held, Stored) else self.held

    @property
    def numbers(self) -> Array:
        """The numbers in double precision."""
        return doubles(self.array)

    @property
    def weights(self) -> NDArray[Any]:
        """The numbers as weights are held: in single precision where they are many."""
        found = self.array
        return kept(found.astype(np.float32) if found.dtype == np.float16 else found)

    @property
    def turned(self) -> NDArray[Any]:
        """:attr:`weights` of a matrix by its columns."""
        found = self.weights.T
        return found if found.dtype == np.float32 else np.ascontiguousarray(found)


class MixedError(InputError):
    """Numbers are moved from image to image, which later moves may undo.

    ``places`` are those of a tensor's numbers, counted from 1 over all images, for each output.
    """

    def __init__(self, error: InputError, value: Value, places: list[NDArray[Any]]) -> None:
        super().__init__(str(error))
        self.value, self.places = value, places


@dataclass(frozen=True)
class Call:
    """One node: its layer's name, operator, attributes, and inputs.

    An input that is left out is None. Batches have ``batch`` images; where that is None, tensors have no axis for them.

    ``opset`` is the version of ONNX's operators that it is written in; ``outputs`` counts those that have a name;
    ``owner`` names the module of an initializer; ``run`` works the node out for another array in the place of its
    activations.
    """

    name: str
    operator: str
    attributes: dict[str, Any]
    inputs: tuple[Value | Constant | None, ...]
    batch: int | None
    opset: int
    outputs: int
    owner: Callable[[Constant], str]
    run: Callable[[Array], list[NDArray[Any]]]

    def error(self, reason: str = "is not supported") -> InputError:
        """The refusal of this layer."""
        return refuse(self.name, self.operator, reason)

    def tensor(self, index: int) -> Value:
        """The input, which must depend on the image."""
        given = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(given, int):
            raise self.error(f"has no activations as its input {index}")
        return given

    def constant(self, index: int) -> Constant:
        """The input, which must be a constant."""
        given = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(given, Constant):
            raise self.error(f"has an input {index} that depends on the image")
        complex_kinds = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
        if given.held.kind in complex_kinds if isinstance(given.held, Stored) else np.iscomplexobj(given.held):
            raise self.error(f"has an input {index} of complex numbers")
        return given

    def array(self, index: int) -> Array | None:
        """The input's numbers, None where it is left out."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            return None
        return self.constant(index).numbers

    def integers(self, index: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an attribute or an input.

        Older versions of an operator keep them in an attribute, and newer ones in an input.
        """
        if attribute in self.attributes:
            return [int(n) for n in self.attributes[attribute]]
        values = self.array(index)
        return None if values is None else [int(n) for n in values.ravel()]

    def full(self, graph: Graph, index: int = 0) -> Shape:
        """The shape of an input that depends on the image, as the file has it."""
        shape = graph.shape(self.tensor(index))
        return shape if self.batch is None else (self.batch, *shape)

    def image(self, graph: Graph, index: int = 0) -> Value:
        """The input, which must depend on the image, for one image."""
        x = self.tensor(index)
        shape = graph.shape(x)
        if self.batch is not None:
            return x
        if len(shape) < 2 or shape[0] != 1:
            raise self.error(f"reads a tensor of shape {shape}, which is no batch of one image")
        return graph.reshape(self.name, x, shape[1:])

    def whole(self, graph: Graph, value: Value) -> Value:
        """What was made of :meth:`image`, as the file has it."""
        return value if self.batch is not None else graph.reshape(self.name, value, (1, *graph.shape(value)))

    def axes(self, graph: Graph, given: list[int]) -> set[int]:
        """Axes of the input, counted from 0 for each image's tensor."""
        count = len(self.full(graph))
        found = {axis % count for axis in given}
        if self.batch is None:
            return found
        if 0 in found:
            raise self.error(f"works along axes {sorted(found)}, which mixes the images of a batch")
        return {axis - 1 for axis in found}

    def broadcast(self, graph: Graph, constant: Constant) -> tuple[Value, Array]:
        """The one input that depends on the image, and a constant.

        Both are broadcast to one shape for each image.
        """
        x = next(given for given in self.inputs if isinstance(given, int))
        return beside(graph, self.name, self.operator, x, constant.numbers, self.batch is not None)
