"""The protocols that a solver's backend and its sessions follow."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.solving.protocol.arrays import Array, Arrays
from oamip_model.solving.protocol.options import Options
from oamip_model.solving.protocol.outcome import Solution


class Capability(StrEnum):
    """What a backend can do besides solving. An option that needs more is refused."""

    MIP_START = "mip-start"
    CUT_ROUNDS = "cut-rounds"
    """Adds rows to a loaded model without passing it again."""
    THREADS = "threads"
    SEED = "seed"
    LOG_FILE = "log-file"
    INTERRUPT = "interrupt"
    """Ctrl-C ends the solve, which gives back its incumbent and its bound."""
    DUAL_BOUND = "dual-bound"
    """Reports a dual bound also where it stops early."""
    COST_CHANGE = "cost-change"
    """Takes new costs for a loaded model, and starts from its last basis. Its session is a CostSession."""
    BOUND_CHANGE = "bound-change"
    """Takes new bounds of columns, drops added rows, and starts from its last basis. Its session is a TreeSession."""
    INTERIOR_POINT = "interior-point"
    """Solves linear programs by an interior point method if the options say so."""


@runtime_checkable
class Session(Protocol):
    """A model that is solved, given more rows, and solved again."""

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """Solve from a feasible point, perhaps relaxed.

        Parameters
        ----------
        start : array, optional
            A feasible point (columns,).
        relaxed : bool, default False
            Solve without integrality.
        time_limit : float, optional
            Seconds.

        Returns
        -------
        Solution
            The answer.
        """

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add lower <= rows @ x <= upper to the model.

        Parameters
        ----------
        rows : scipy.sparse.csr_array
            Coefficients (new rows, columns).
        lower, upper : array
            Bounds (new rows,).
        """

    def close(self) -> None:
        """Free the solver."""


class CostSession(Session, Protocol):
    """A session whose costs can be changed, for many objectives over the same rows."""

    def set_cost(self, cost: Array) -> None:
        """Replace the costs, but neither the sense nor the offset.

        Parameters
        ----------
        cost : array
            Costs (columns,).
        """


class TreeSession(Session, Protocol):
    """A session for a search tree over one program."""

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the columns' bounds.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,).

        Raises
        ------
        InputError
            Where they cross.
        """

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop the added rows that are not kept.

        Parameters
        ----------
        keep : array of bool
            One entry for each added row, in the order in which they were added.
        """

    def basis(self) -> object:
        """The basis of the last linear program.

        Returns
        -------
        object
            A basis that :meth:`set_basis` takes, None where the solver gives none.
        """

    def set_basis(self, basis: object) -> None:
        """Start the next solve from a basis of this session, whose rows are the same.

        Parameters
        ----------
        basis : object
            A basis that :meth:`basis` gave.
        """


class Backend(Protocol):
    """One solver. Its ``solve`` raises for what it cannot do, never for an outcome."""

    @property
    def name(self) -> str:
        """The name that users give, such as highs."""

    @property
    def licence(self) -> str:
        """The licence of the solver."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do besides solving."""

    def check(self) -> None:
        """Raise an error where the solver cannot be used.

        Raises
        ------
        SolverMissingError
            Where the solver or its licence is missing; the message says what to install.
        """

    def version(self) -> str:
        """The solver's own version.

        Returns
        -------
        str
            The version as the solver writes it.
        """

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch.

        Parameters
        ----------
        arrays : Arrays
            The program.
        options : Options
            Limits, threads, seed and log file.
        start : array, optional
            A feasible point (columns,).

        Returns
        -------
        Solution
            The answer, whatever the outcome.
        """


def check_options(backend: Backend, options: Options, start: Array | None = None) -> None:
    """Raise InputError for an option, or a start, that the backend cannot take.

    The defaults, threads=1 and seed=0, suit every backend.

    Parameters
    ----------
    backend : Backend
        The backend.
    options : Options
        The options of a solve.
    start : array, optional
        The first point.

    Raises
    ------
    InputError
        For the first one that needs a capability that is missing.
    """
    needs = (
        ("threads", options.threads, Capability.THREADS, options.threads in (None, 1)),
        ("seed", options.seed, Capability.SEED, options.seed in (None, 0)),
        ("log_file", options.log_file, Capability.LOG_FILE, options.log_file is None),
        ("interior_point", options.interior_point, Capability.INTERIOR_POINT, not options.interior_point),
        ("start", "a point", Capability.MIP_START, start is None),
    )
    for name, given, capability, idle in needs:
        if not idle and capability not in backend.capabilities:
            raise InputError(f"{name}: got {given}, but the backend {backend.name} cannot take it (no {capability})")
