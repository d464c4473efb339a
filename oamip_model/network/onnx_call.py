"""One node of an ONNX model as its operator's function sees it.

It has attributes, activations and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.graph import Graph, Value, refuse
from oamip_model.network.ops import Array


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the image, and its initializer.

    The initializer is "" where it comes from none.
    """

    array: NDArray[Any]
    origin: str = ""


@dataclass(frozen=True)
class Call:
    """One node: its layer's name, operator, attributes, and inputs.

    An input that is left out is None. Batches have ``batch`` images.

    ``opset`` is the version of ONNX's operators that it is written in; ``owner`` names the module of an initializer.
    """

    name: str
    operator: str
    attributes: dict[str, Any]
    inputs: tuple[Value | Constant | None, ...]
    batch: int
    opset: int
    owner: Callable[[Constant], str]

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
        if np.iscomplexobj(given.array):
            raise self.error(f"has an input {index} of complex numbers")
        return given

    def array(self, index: int) -> Array | None:
        """The input's numbers, None where it is left out."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            return None
        return np.asarray(self.constant(index).array, dtype=np.float64)

    def integers(self, index: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an attribute or an input.

        Older versions of an operator keep them in an attribute, and newer ones in an input.
        """
        if attribute in self.attributes:
            return [int(n) for n in self.attributes[attribute]]
        values = self.array(index)
        return None if values is None else [int(n) for n in values.ravel()]

    def axes(self, graph: Graph, given: list[int]) -> set[int]:
        """Axes of the input, counted from 0 (the batch)."""
        return {axis % (len(graph.shape(self.tensor(0))) + 1) for axis in given}
