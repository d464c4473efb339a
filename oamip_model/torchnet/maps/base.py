"""What every linear map gives in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from torch import Tensor, nn

from oamip_model.network.maps import Array, LinearMap, Shape

M = TypeVar("M", bound=LinearMap)


class TorchMap(ABC, Generic[M]):
    """The forward pass of one kind of map, and the module that does the same.

    One object serves all maps of the kind, whose arrays it is given.
    """

    name: ClassVar[str]
    """That of the map."""
    fits: ClassVar[bool] = False
    """Whether least squares may change the map's weights, for which :meth:`columns` is needed."""

    @abstractmethod
    def forward(self, map: M, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        """The map on (n, *shape).

        tensor: gives an array of the map on the device, or what is trained in its place.
        """

    @abstractmethod
    def module(self, map: M, bias: Array | None, shape: Shape) -> nn.Module | None:
        """A module that computes the map of images of this shape.

        None where nothing is to be done.

        bias: (channels,), which the module of a map with weights adds. Its ``weight`` is the parameter that modules of
        the same weights share.
        """

    def before(self, map: M) -> nn.Module | None:
        """A module that comes before that of :meth:`module`, such as a border."""
        return None

    def columns(self, map: M, x: Tensor, at: Tensor | None, made: Shape) -> Tensor:
        """What the rows of the map's full weight are multiplied by.

        It has the shape (n, positions, inputs x kernel).

        x: (n, *shape); at: flat positions of the output, whose shape is ``made``; None where it has one alone.
        """
        raise TypeError(f"{type(self).__name__} has no columns")
