"""Solves an instance by any backend; cross-entropy by outer approximation, with a certified gap (mathematics:gap-1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from oamip_model.errors import InputError
from oamip_model.network.ops import Array
from oamip_model.solving.image_cuts import ImageProgram
from oamip_model.solving.protocol import DEFAULT_FEASIBILITY, Backend, Options
from oamip_model.solving.registry import get_backend
from oamip_model.solving.rounds import Rounds
from oamip_model.solving.searches import SEARCHES
from oamip_model.solving.solution import InstanceSolution
from oamip_model.solving.state import SolveState, by_rounds
from oamip_model.solving.tree import solve_by_tree

_LEAST_FEASIBILITY = 1e-8
"""HiGHS 1.15 gave a false optimum at 1e-9."""


def solve_instance(
    instance: Any,
    solver: str | Backend = "highs",
    *,
    tolerance: float = 1e-4,
    time_limit: float | None = None,
    threads: int | None = 1,
    seed: int | None = 0,
    log_file: str | Path | None = None,
    start: Mapping[str, Array] | None = None,
    search: str = "solver",
    image_program: ImageProgram | None = None,
    progress: Callable[[str], None] | None = None,
) -> InstanceSolution:
    """The solution of an instance of :func:`oamip_model.formulation.abstract_model`, within a relative gap of
    ``tolerance``.

    The loss "cross-entropy" is approximated from below by tangents, added at each solution until objective and bound
    meet; first on the relaxation, then on the integer program. The relaxation "hull" gets its cuts in the same rounds
    on the relaxation. Tangents, and cuts that are tight at its end, stay in the instance, and the solution is loaded
    into its variables. solver: a name or a backend; time_limit: seconds for everything; start: scores {group:
    (units,)} whose forward pass is the first incumbent, where it is feasible (in the sound gates it is, unless the loss
    is "margin"); search: "solver", the solver's own tree, anew in each round, or "tree", one tree of ours over linear
    programs, in whose nodes tangents and cuts of the relaxation "hull" are added (:mod:`oamip_model.solving.tree`), for
    programs with integral columns; image_program: solves the program of one image alone, from which a large "tree" of
    several images gets cuts (:mod:`oamip_model.solving.image_cuts`); progress: called with a line after each round.
    Ctrl-C ends the solve and gives back what is there.

    Raises InputError for an option that is not valid, SolverMissingError where the solver cannot be used.

    Example:
        >>> import numpy as np, torch, oamip_model as om
        >>> _ = torch.manual_seed(0)
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> instance = om.build_instance(om.read_network(module), np.ones((1, 2)), [0])
        >>> solution = solve_instance(instance)
        >>> solution.status.value, solution.gap < 1e-4
        ('optimal', True)
    """
    check_tolerance(tolerance)
    check_search(search)
    backend = get_backend(solver)
    # A little below the tolerance: solvers divide the gap by different numbers, and CBC states just what it was given.
    # What a solver may cheat by within its rows must be smaller than the gap that is to be proved.
    feasibility = None if tolerance >= 100 * DEFAULT_FEASIBILITY else max(tolerance / 100, _LEAST_FEASIBILITY)
    log = None if log_file is None else Path(log_file)
    options = Options(time_limit, tolerance * (0.5 if by_rounds(instance) else 0.9), threads, seed, log, feasibility)
    given = (instance, backend, options, tolerance, progress)
    if search == "tree":
        state = SolveState(*given)
        if state.arrays.is_mip:
            state.begin(start)
            return solve_by_tree(state, image_program)
    rounds = Rounds(*given)
    rounds.begin(start)
    return rounds.run()


def check_tolerance(tolerance: Any) -> None:
    """Raise InputError unless the tolerance is a relative gap that a solve can reach."""
    if not isinstance(tolerance, Real) or not 0 < float(tolerance) < 1:
        raise InputError(f"tolerance: got {tolerance!r}, accepted is a relative gap between 0 and 1")


def check_search(search: Any) -> None:
    """Raise InputError unless this is the name of a search."""
    if search not in SEARCHES:
        raise InputError(f"search: got {search!r}, accepted are {', '.join(SEARCHES)}")
