"""Sessions of backends, in scaled units and with second opinions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from oamip_model.solving.proofs.scaled_session import Others, ScaledSession
from oamip_model.solving.proofs.scaling import Scale
from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Capability,
    CostSession,
    InputError,
    Options,
    Session,
    Solution,
    SolverError,
    SolverMissingError,
    TreeSession,
    check_options,
)
from oamip_model.solving.rebuild import RebuildSession
from oamip_model.solving.registry.names import get_backend

_SECOND = ("highs", "cbc", "scip")
"""Solvers whose second opinion is asked for, where they are installed. None of them has a licence's limits."""


def open_session(backend: Backend, arrays: Arrays, options: Options, *, proofs: bool = True) -> Session:
    """A session of a backend for a program, in scaled units.

    It is the backend's own session where it has one. Otherwise each solve passes the whole program.

    Parameters
    ----------
    backend : Backend
        The solver.
    arrays : Arrays
        The program, in its own units.
    options : Options
        Limits, threads, seed and log file.
    proofs : bool, default True
        Whether the bounds of linear programs are those that their duals prove. Without, they are
        claims of the solver, which is quicker for callers that use points only.

    Returns
    -------
    Session
        A session that takes and gives points in the program's own units.

    Raises
    ------
    InputError
        For an option that the backend cannot take.
    """
    return _scaled(backend, arrays, options, getattr(backend, "session", None), proofs)


def open_cost_session(backend: Backend, arrays: Arrays, options: Options) -> CostSession:
    """A session whose costs can be changed. Otherwise it is as :func:`open_session`.

    Parameters
    ----------
    backend, arrays, options
        As for :func:`open_session`.

    Returns
    -------
    CostSession
        A session that takes and gives points in the program's own units.
    """
    able = Capability.COST_CHANGE in backend.capabilities
    return _scaled(backend, arrays, options, getattr(backend, "session", None) if able else None)


def open_tree_session(backend: Backend, arrays: Arrays, options: Options) -> TreeSession:
    """A session for a search tree. Otherwise it is as :func:`open_session`.

    Parameters
    ----------
    backend, arrays, options
        As for :func:`open_session`.

    Returns
    -------
    TreeSession
        A session that takes and gives points in the program's own units.
    """
    able = Capability.BOUND_CHANGE in backend.capabilities
    return _scaled(backend, arrays, options, getattr(backend, "session", None) if able else None)


def solve_once(backend: Backend, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
    """The solution of one program, which is scaled for the solver.

    Parameters
    ----------
    backend, arrays, options
        As for :func:`open_session`.
    start : array, optional
        A feasible point (columns,).

    Returns
    -------
    Solution
        The answer, in the program's own units.
    """
    return _scaled(backend, arrays, options, None).solve(start)


def _scaled(
    backend: Backend,
    arrays: Arrays,
    options: Options,
    own: Callable[[Arrays, Options], Session] | None,
    proofs: bool = True,
) -> ScaledSession:
    """A scaled session, which asks for second opinions."""
    check_options(backend, options)
    return _alone(backend, arrays, options, own, partial(_others, backend, options), proofs)


def _alone(
    backend: Backend,
    arrays: Arrays,
    options: Options,
    own: Callable[[Arrays, Options], Session] | None = None,
    others: Others | None = None,
    proofs: bool = True,
) -> ScaledSession:
    """A scaled session, which asks only the ``others`` that it is given."""
    scale = Scale.of(arrays)
    scaled, sizes = scale.program(arrays)
    inner = RebuildSession(backend, scaled, options) if own is None else own(scaled, options)
    return ScaledSession(arrays, scale, inner, sizes, others, proofs)


def _others(
    backend: Backend, options: Options, program: Arrays, time_limit: float | None, spent: float
) -> Iterator[Solution]:
    """Solutions of a linear program by the backend's interior point method, then by the other installed solvers."""
    limit, began = options.time_limit if time_limit is None else time_limit, time.monotonic() - spent
    ways = [(backend, True)] if Capability.INTERIOR_POINT in backend.capabilities else []
    for name in _SECOND:
        if name != backend.name:
            with suppress(InputError, SolverMissingError):
                ways.append((get_backend(name), False))
    for other, interior in ways:
        left = None if limit is None else limit - (time.monotonic() - began)
        if left is not None and left <= 0:
            return
        # The number of threads is that of the first solve, since HiGHS has one number for all solves of a process.
        threads = options.threads if Capability.THREADS in other.capabilities else 1
        asked = Options(left, threads=threads, feasibility=options.feasibility, interior_point=interior)
        with suppress(SolverMissingError, SolverError):  # such as a program beyond the size of a licence
            called = f"{other.name} by an interior point" if interior else other.name
            yield replace(_alone(other, program, asked).solve(), solver=called)
