"""What a sparsity is: the one home of all that follows from what scores cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import Network

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class SparsityRow(NamedTuple):
    """A sparsity as a row over scores and further columns.

    It is scores @ s + columns @ x, with x in [lower, upper] and rows >= level.

    rows: over the scores, then x; least: the sparsity at scores of 0.
    """

    scores: Array
    columns: Array
    lower: Array
    upper: Array
    rows: sp.csr_array
    level: Array
    least: float


class Sparsity(ABC):
    """A convex, piecewise linear function of all scores that never falls.

    It does not fall where a score rises.

    A subclass of :class:`Linear` states the prices of units; others state every method. Scores s are (units,), group
    after group, and an instance of the model has them as ``model.s``.
    """

    name: ClassVar[str]

    @abstractmethod
    def value(self, network: Network, scores: Array) -> float:
        """The sparsity of scores (units,)."""

    @abstractmethod
    def in_torch(self, network: Network, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """The same as a function of score vectors (k, units), with gradients.

        It gives (k,).
        """

    @abstractmethod
    def data(self, network: Network, units: Sequence[tuple[str, int]]) -> dict[str, Any]:
        """Values of the parameters that :meth:`add` declares, by name.

        units: the index set UNIT.
        """

    @abstractmethod
    def add(self, model: Any) -> None:
        """Declare parameters, variables and rows in the abstract model, if any."""

    @abstractmethod
    def expression(self, model: Any) -> Any:
        """The sparsity as a linear expression in an instance's variables."""

    def set_bounds(self, model: Any) -> None:  # noqa: B027
        """Bounds of the variables that :meth:`add` declares."""

    def complete(self, model: Any, scores: Array) -> dict[str, Array]:
        """Values, by variable, of what :meth:`add` declares, for scores (units,)."""
        return {}

    @abstractmethod
    def row(self, network: Network) -> SparsityRow:
        """The sparsity as a row, for programs of bounds up to a cutoff."""

    @abstractmethod
    def layer_price(self, network: Network, group: int) -> tuple[Array, float]:
        """Price of each score (units,), and a constant, of one layer on its own."""

    @abstractmethod
    def layer_part(self, network: Network, group: int) -> float | None:
        """What one layer's price is in the price of all, None where layers do not add up."""


class Linear(Sparsity):
    """The weighted mean of the scores.

    A subclass states what :meth:`prices` the units have.
    """

    @abstractmethod
    def prices(self, network: Network) -> Array:
        """Price of each unit, (units,), group after group: at least 0, in any scale."""

    def shares(self, network: Network) -> Array:
        """The prices, (units,), made to add up to 1.

        Raises InputError for prices that cannot be.
        """
        prices = self._checked(network)
        return np.asarray(prices / prices.sum())

    def _checked(self, network: Network) -> Array:
        prices = np.asarray(self.prices(network), dtype=np.float64)
        units = sum(group.size for group in network.groups)
        if prices.shape != (units,) or not np.isfinite(prices).all() or (prices < 0).any() or not prices.any():
            raise InputError(
                f"sparsity: {self.name} has no prices for this network: needed are {units} numbers >= 0, not all 0"
            )
        return prices

    def value(self, network: Network, scores: Array) -> float:
        """Shares @ scores."""
        return float(self.shares(network) @ scores)

    def in_torch(self, network: Network, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Shares @ scores."""
        import torch

        shares = torch.as_tensor(self.shares(network), dtype=dtype)
        return lambda scores: scores @ shares

    def data(self, network: Network, units: Sequence[tuple[str, int]]) -> dict[str, Any]:
        """The shares."""
        return {"unit_weight": dict(zip(units, self.shares(network).tolist(), strict=True))}

    def add(self, model: Any) -> None:
        """A parameter for the shares."""
        import pyomo.environ as pyo

        model.unit_weight = pyo.Param(model.UNIT, within=pyo.NonNegativeReals, doc="share of each unit in the sparsity")

    def expression(self, model: Any) -> Any:
        """The scores times their shares."""
        import pyomo.environ as pyo
        from pyomo.core.expr.numeric_expr import LinearExpression

        shares = [pyo.value(share) for share in model.unit_weight.values()]
        return LinearExpression(linear_coefs=shares, linear_vars=list(model.s.values()))

    def row(self, network: Network) -> SparsityRow:
        """The shares, without further columns."""
        shares, none = self.shares(network), np.zeros(0)
        return SparsityRow(shares, none, none, none, sp.csr_array((0, len(shares))), none, 0.0)

    def layer_price(self, network: Network, group: int) -> tuple[Array, float]:
        """The prices of the layer's units, made to add up to 1 where they are not all 0."""
        own = self._of_layer(network, group)
        return np.asarray(own / (own.sum() or 1.0)), 0.0

    def layer_part(self, network: Network, group: int) -> float | None:
        """The layer's share of all prices; None where it has no price."""
        part = float(self._of_layer(network, group).sum() / self._checked(network).sum())
        return part or None

    def _of_layer(self, network: Network, group: int) -> Array:
        sizes = [entry.size for entry in network.groups]
        return np.split(self._checked(network), np.cumsum(sizes)[:-1])[group]
