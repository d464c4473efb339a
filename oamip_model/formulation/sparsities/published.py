"""The published sparsity: the sum of the (n-1) largest terms of n layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.rows import MatrixRows
from oamip_model.formulation.sparsities.base import Sparsity, SparsityRow
from oamip_model.network.maps import Array
from oamip_model.network.types import Network

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class PublishedSparsity(Sparsity):
    """The sum of the (n-1) largest I_l (mathematics:sparsity-3).

    I_l = (sum of scores - 2 units) / D_l; with one layer it is that layer's.

    As rows: (n-1) t + sum v_l with v_l >= I_l - t and v_l >= 0, t the variable ``level`` and v ``excess``.
    """

    name = "published"

    def value(self, network: Network, scores: Array) -> float:
        """See :func:`published_sparsity`."""
        sizes = [group.size for group in network.groups]
        sums = [float(part.sum()) for part in np.split(scores, np.cumsum(sizes)[:-1])]
        return published_sparsity(sums, sizes, [group.divisor for group in network.groups])

    def in_torch(self, network: Network, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """The same in torch."""
        import torch

        sizes = [group.size for group in network.groups]
        divisors = torch.tensor([float(group.divisor) for group in network.groups], dtype=dtype)

        def value(scores: Tensor) -> Tensor:
            parts = torch.split(scores, sizes, dim=1)
            terms = torch.stack([p.sum(dim=1) - 2.0 * p.shape[1] for p in parts], dim=1) / divisors
            return terms.topk(max(1, len(parts) - 1), dim=1).values.sum(dim=1)

        return value

    def data(self, network: Network, units: Sequence[tuple[str, int]]) -> dict[str, Any]:
        """None: sizes and divisors are in every instance."""
        return {}

    def add(self, model: Any) -> None:
        """The threshold and what each I_l is above it."""
        import pyomo.environ as pyo

        from oamip_model.formulation.matrix import MatrixConstraint

        model.level = pyo.Var([None], doc="threshold of the largest I_l")
        model.excess = pyo.Var(model.GROUP, within=pyo.NonNegativeReals, doc="I_l above the threshold")
        model.excess_rows = MatrixConstraint(rule=excess_rows)

    def expression(self, model: Any) -> Any:
        """(n-1) t + sum v_l."""
        from pyomo.core.expr.numeric_expr import LinearExpression

        largest = max(1, len(model.GROUP) - 1)
        variables = [model.level[None], *model.excess.values()]
        return LinearExpression(linear_coefs=[largest] + [1.0] * len(model.excess), linear_vars=variables)

    def set_bounds(self, model: Any) -> None:
        """Bound the threshold by the least and the largest I_l.

        Some optimum has a threshold among the I_l. With a bounded column duals prove more than with
        a free one.
        """
        terms = [(model.size[g], model.divisor[g]) for g in model.GROUP]
        model.level[None].setlb(min(-2.0 * size / divisor for size, divisor in terms))
        model.level[None].setub(max(-size / divisor for size, divisor in terms))

    def complete(self, model: Any, scores: Array) -> dict[str, Array]:
        """The (n-1)-th largest I_l, and what the others are above it."""
        sizes = [int(model.size[g]) for g in model.GROUP]
        parts = np.split(scores, np.cumsum(sizes)[:-1])
        terms = np.array(
            [(p.sum() - 2.0 * k) / model.divisor[g] for p, k, g in zip(parts, sizes, model.GROUP, strict=True)]
        )
        level = float(np.sort(terms)[-max(1, len(terms) - 1)])
        return {"level": np.array([level]), "excess": np.maximum(terms - level, 0.0)}

    def row(self, network: Network) -> SparsityRow:
        """Further columns: the threshold and the excesses."""
        groups = network.groups
        units = sum(group.size for group in groups)
        sizes, divisors = (np.array([getattr(g, name) for g in groups], dtype=float) for name in ("size", "divisor"))
        # I_l lies in [-2, -1] times units over D_l, the threshold among all of them, and an excess is their difference.
        low, high = -2.0 * sizes / divisors, -sizes / divisors
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        terms = sp.csr_array(
            (np.repeat(-1.0 / divisors, sizes.astype(int)), np.arange(units), starts), (len(groups), units)
        )
        excess = sp.hstack([sp.csr_array(np.ones((len(groups), 1))), sp.eye_array(len(groups))])
        costs = np.concatenate([[max(1, len(groups) - 1)], np.ones(len(groups))])
        return SparsityRow(
            np.zeros(units), costs, np.concatenate([[low.min()], np.zeros(len(groups))]),
            np.concatenate([[high.max()], high - low.min()]),
            sp.csr_array(sp.hstack([terms, excess], format="csr")), low, self.value(network, np.zeros(units)),
        )  # fmt: skip

    def layer_price(self, network: Network, group: int) -> tuple[Array, float]:
        """I_l of the layer."""
        entry = network.groups[group]
        return np.full(entry.size, 1.0 / entry.divisor), -2.0 * entry.size / entry.divisor

    def layer_part(self, network: Network, group: int) -> float | None:
        """None: which layers count depends on the scores."""
        return None


def published_sparsity(sums: list[float], sizes: list[int], divisors: list[int]) -> float:
    """The published sparsity of scores whose sum is ``sums[l]`` in layer l.

    It is the sum of the (n-1) largest I_l.

    I_l = (sum - 2 size) / D_l; with one layer, that layer's.

    Examples
    --------
    >>> published_sparsity([1.0, 2.0], [2, 4], [2, 4])
    -1.5
    """
    terms = sorted((s - 2.0 * k) / d for s, k, d in zip(sums, sizes, divisors, strict=True))
    return float(sum(terms[-max(1, len(terms) - 1) :]))


def excess_rows(model: Any) -> MatrixRows:
    """v_l >= I_l - t, which with v_l >= 0 states the published sparsity.

    See mathematics:sparsity-4.
    """
    groups = list(model.GROUP)
    divisors = np.array([model.divisor[g] for g in groups], dtype=np.float64)
    sizes = np.array([model.size[g] for g in groups], dtype=np.float64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    values = -np.repeat(1.0 / divisors, sizes.astype(np.int64))
    scores = sp.csr_array((values, np.arange(starts[-1]), starts), shape=(len(groups), int(starts[-1])))
    rows = MatrixRows.of(groups, lower=-2.0 * sizes / divisors).plus_matrix(model.s, scores)
    return rows.plus(model.excess, np.arange(len(groups))).plus(model.level, np.zeros(len(groups)))
