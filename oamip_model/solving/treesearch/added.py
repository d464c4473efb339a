"""Rows that a search tree has added to its linear relaxation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.matrix import MatrixConstraint, MatrixRows
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled

_TIGHT = 1e-7
"""Slack, relative to max(1, limit), up to which a row counts as tight."""
_IGNORED = 0.5
"""Violation of new tangents, relative to the one before they were added, from which the solver ignores them."""
_SIDES = ("lower", "upper", "idle", "lasting")


@dataclass
class Added:
    """Rows that were added over all columns.

    Parameters
    ----------
    homes : list of MatrixConstraint
        The component of the instance that each row belongs to.
    names : list of tuple
        The name of each row there.
    matrix : scipy.sparse.csr_array
        Coefficients (rows, columns).
    lower, upper : array
        Bounds (rows,).
    idle : array
        Optima in a row in which each row was slack, (rows,).
    lasting : array of bool
        Whether a row is kept however long it is slack, (rows,).
    """

    homes: list[MatrixConstraint]
    names: list[tuple[Any, ...]]
    matrix: sp.csr_array
    lower: Array
    upper: Array
    idle: Array
    lasting: NDArray[np.bool_]

    def take(self, keep: NDArray[np.bool_]) -> Added:
        """Some of the rows.

        Parameters
        ----------
        keep : array of bool
            Whether to take each row, (rows,).

        Returns
        -------
        Added
            The rows that are taken, in their order.
        """
        at = np.flatnonzero(keep)
        homes, names = [self.homes[k] for k in at.tolist()], [self.names[k] for k in at.tolist()]
        sides = (getattr(self, side)[at] for side in _SIDES)
        return Added(homes, names, sp.csr_array(self.matrix[at]), *sides)

    @classmethod
    def joined(cls, blocks: list[Added]) -> Added:
        """The rows of several blocks as one block.

        Parameters
        ----------
        blocks : list of Added
            Blocks with the same columns.

        Returns
        -------
        Added
            All their rows, in order.
        """
        return cls(
            [home for block in blocks for home in block.homes],
            [name for block in blocks for name in block.names],
            sp.csr_array(sp.vstack([block.matrix for block in blocks], format="csr")),
            *(np.concatenate([getattr(block, side) for block in blocks]) for side in _SIDES),
        )

    def age(self, x: Array) -> None:
        """Count for each row in how many optima in a row it was slack.

        Lasting rows do not count.

        Parameters
        ----------
        x : array
            The last optimum (columns,).
        """
        activity = self.matrix @ x
        slack = np.minimum(activity - self.lower, self.upper - activity)
        limit = np.where(np.isfinite(self.upper), self.upper, self.lower)
        slack_now = (slack > _TIGHT * np.maximum(1.0, np.abs(limit))) & ~self.lasting
        self.idle = np.where(slack_now, self.idle + 1, 0.0)

    def append_to(self, home: MatrixConstraint, compiled: Compiled) -> None:
        """Append the rows to a component of the instance.

        Parameters
        ----------
        home : MatrixConstraint
            The component that all rows belong to.
        compiled : Compiled
            The arrays of the instance.
        """
        first = len(home.rows.names)
        names = [(*name[:-1], first + k) for k, name in enumerate(self.names)]
        blocks = [(v, sp.csr_array(self.matrix[:, compiled.columns(v)])) for v, _ in home.rows.blocks]
        home.append(MatrixRows(names, self.lower, self.upper, blocks))


@dataclass(frozen=True)
class Tangents:
    """The tangents that were added last.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Coefficients (rows, columns).
    lower : array
        Bounds (rows,).
    violation : float
        The largest violation of one of them by the optimum before they were added.
    before : array
        That optimum (columns,).
    """

    matrix: sp.csr_array
    lower: Array
    violation: float
    before: Array

    def ignored(self, x: Array) -> bool:
        """Whether the solver ignores these rows.

        It does where the values of its program reach so far that they are within its tolerances.

        More tangents of the kind would then change nothing.

        Parameters
        ----------
        x : array
            The last optimum (columns,). The one before these rows says nothing about them.

        Returns
        -------
        bool
            True where another optimum violates one of them by half of the former violation.
        """
        if x is self.before or not len(self.lower):
            return False
        return bool((self.lower - self.matrix @ x).max() > _IGNORED * self.violation)


NO_TANGENTS = Tangents(sp.csr_array((0, 0)), np.zeros(0), np.inf, np.zeros(0))
"""What stands for the last tangents where there are none."""
