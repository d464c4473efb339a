"""One operator of an exported program as its function sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.emit.pointwise import beside
from oamip_model.network.graph import Graph, Value, refuse
from oamip_model.network.held import doubles
from oamip_model.network.maps import Array, Shape


@dataclass(frozen=True)
class Weights:
    """A tensor that does not depend on the image, and its module.

    It may belong to a parameter instead. ``held`` is kept in single precision where it has many numbers.
    """

    held: NDArray[Any]
    owner: str

    @property
    def array(self) -> Array:
        """The numbers in double precision."""
        return doubles(self.held)

    @property
    def turned(self) -> NDArray[Any]:
        """The numbers of a matrix by its columns."""
        return self.held.T if self.held.dtype == np.float32 else np.ascontiguousarray(self.held.T)


@dataclass(frozen=True)
class Activations:
    """A tensor that depends on the image."""

    value: Value


@dataclass(frozen=True)
class Call:
    """One operator of an exported program.

    It has its layer's name and type, its arguments, and one image's output shape. ``run`` works it out for two batches
    of numbers in the place of its activations: one image each, as arrays, all results in a list.
    """

    name: str
    kind: str
    operator: str
    arguments: dict[str, Any]
    shape: Shape
    run: Callable[[Array], list[Array]]

    def error(self, reason: str = "is not supported") -> InputError:
        """The refusal of this layer."""
        return refuse(self.name, self.kind, reason)

    def tensor(self, argument: str) -> Value:
        """The argument, which must depend on the image."""
        given = self.arguments[argument]
        if not isinstance(given, Activations):
            raise self.error(f"reads a constant as its {argument}")
        return given.value

    def weights(self, argument: str) -> Weights:
        """The argument, which must be a constant."""
        given = self.arguments[argument]
        if not isinstance(given, Weights):
            raise self.error(f"has a {argument} that depends on the image")
        return given

    def array(self, argument: str) -> Array | None:
        """The argument's numbers, None where it is left out."""
        return None if self.arguments.get(argument) is None else self.weights(argument).array

    def number(self, argument: str, default: float | None = None) -> float | None:
        """The argument, which must be one number or a constant of one."""
        given = self.arguments.get(argument)
        if given is None:
            return default
        values = given.array if isinstance(given, Weights) else np.asarray(given, dtype=np.float64)
        if values.size != 1:
            raise self.error(f"has a {argument} that is not one number")
        return float(values.ravel()[0])

    def broadcast(self, graph: Graph, x: Value, given: Any) -> tuple[Value, Array]:
        """A tensor, and a constant argument, broadcast to one shape for each image."""
        if given is None or isinstance(given, Activations):
            raise self.error("works with the size of a tensor")
        values = given.array if isinstance(given, Weights) else np.asarray(given, dtype=np.float64)
        return beside(graph, self.name, self.kind, x, values)
