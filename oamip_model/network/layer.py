"""The parts of a trained network as plain data.

They are terms of affine maps, layers, and groups of scored units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.clock import tick
from oamip_model.network.maps import Array, LinearMap, MaxPool, Shape

Activation: TypeAlias = Literal["none", "relu", "max"]
IMAGE = -1
"""The ``source`` of a term that reads the image instead of a layer."""


@dataclass(frozen=True)
class Term:
    """One summand of a layer's affine map.

    It is ``map`` applied to layer ``source``, reshaped to ``input_shape``.

    ``name`` is the trained module (or ONNX node) that the weights come from, empty for a map without weights.
    """

    map: LinearMap
    source: int
    input_shape: Shape
    name: str = ""

    @property
    def parameters(self) -> int:
        """Number of weights, those of a scale of channels included."""
        return self.map.parameters

    @property
    def positions(self) -> int:
        """How often one image uses each weight, at least once."""
        return self.map.positions(self.input_shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image (mathematics:budget-1)."""
        return self.map.multiplications(self.input_shape)


@dataclass(frozen=True)
class Layer:
    """An affine map (the sum of ``terms``, plus ``bias``) and the activation after it.

    Parameters
    ----------
    name : str
        The name of the layer.
    terms : tuple of Term
        The maps that are summed.
    bias : array
        Constants (channels,), where channels is the first axis of ``pre_shape``.
    pre_shape : tuple of int
        Shape of one image's pre-activation.
    activation : {"relu", "max", "none"}
        With "max" the affine map is one Identity.
    pool : MaxPool, optional
        The windows of "max".
    group : int, optional
        The score group that gates this layer.
    units : array of int, optional
        The unit of each activation, (activations,).
    """

    name: str
    terms: tuple[Term, ...]
    bias: Array
    pre_shape: Shape
    activation: Activation = "none"
    pool: MaxPool | None = None
    group: int | None = None
    units: NDArray[np.int64] | None = field(default=None)

    @property
    def shape(self) -> Shape:
        """Shape of one image's output."""
        return (self.pre_shape[0], *self.pool.output) if self.pool is not None else self.pre_shape

    @property
    def size(self) -> int:
        """Number of activations of one image."""
        return int(np.prod(self.shape))

    @property
    def parameters(self) -> int:
        """Weights of every term plus the biases that are in use.

        A bias of zeros counts as none.
        """
        return sum(term.parameters for term in self.terms) + self.biases

    @property
    def biases(self) -> int:
        """Number of biases that are in use, 0 where all are zeros."""
        return self.bias.size if self.bias.any() else 0

    def pre_activation(self, inputs: list[Array]) -> Array:
        """The affine map on one input per term, each (n, ...): (n, *pre_shape)."""
        tick(f"layer {self.name}")
        total = self.bias.reshape((1, -1) + (1,) * (len(self.pre_shape) - 1))
        for term, x in zip(self.terms, inputs, strict=True):
            y = term.map.apply(x.reshape(len(x), *term.input_shape))
            total = total + y.reshape(len(x), *self.pre_shape)
        return total

    def activate(self, a: Array) -> Array:
        """The activation on pre-activations (n, *pre_shape): (n, *shape)."""
        if self.activation == "relu":
            return np.maximum(a, 0.0)
        return self.pool.apply(a) if self.pool is not None else a


@dataclass(frozen=True)
class ScoreGroup:
    """Units that share one vector of scores.

    They are of one layer, or of the layers that a residual addition ties together.

    Parameters
    ----------
    name : str
        The name of the group.
    size : int
        Number of units.
    layers : tuple of int
        The ReLU layers that the scores gate.
    producers : tuple of str
        Names of the trained modules whose outputs are these units.
    parameters : array
        Parameters (size,) that removing each unit saves: its incoming weights and bias, and the
        outgoing weights.
    divisor : int
        D_l of the published sparsity: units of a dense layer, or filters x kernel height x kernel
        width.
    """

    name: str
    size: int
    layers: tuple[int, ...]
    producers: tuple[str, ...]
    parameters: Array
    divisor: int
