"""The solution of an instance by any backend.

Cross-entropy is approximated from outside, with a certified gap (mathematics:gap-1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.runs.events import Listener
from oamip_model.solving.options import Solver, TreeSearch, as_search, as_solver
from oamip_model.solving.protocol import DEFAULT_FEASIBILITY, Backend
from oamip_model.solving.registry import get_backend
from oamip_model.solving.rounds import Rounds
from oamip_model.solving.solution import InstanceSolution
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch.image_cuts import ImageProgram
from oamip_model.solving.treesearch.tree import Tree

_LEAST_FEASIBILITY = 1e-8
"""HiGHS 1.15 gave a false optimum at 1e-9."""


def solve_instance(
    instance: Any,
    solver: str | Backend | Solver = "highs",
    *,
    start: Mapping[str, Array] | None = None,
    search: str | TreeSearch = "solver",
    image_program: ImageProgram | None = None,
    progress: Listener | None = None,
    interrupted: bool = False,
) -> InstanceSolution:
    """The solution of an instance, within the tolerance of the solver.

    The loss "cross-entropy" is approximated from below by tangents. They are added at each solution
    until objective and bound meet, first on the relaxation, then on the integer program. The cuts of the
    relaxation "hull" are separated in the rounds on the relaxation. The instance keeps tangents, and cuts
    that are tight at its end. Its variables get the values of the solution. Ctrl-C ends the solve and
    gives back the incumbent and the bound so far.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel or Program
        An instance of :func:`oamip_model.abstract_model`, with rows of your own or without.
    solver : str, Backend or Solver, default "highs"
        A name, a backend, or an object with limits. The default tolerance is 1e-4. The time limit is that
        of the whole solve.
    start : mapping of str to array, optional
        Scores {group: (units,)} whose forward pass is the first incumbent, where it is feasible. In the
        sound gates it is, unless the loss is "margin".
    search : str or TreeSearch, default "solver"
        "solver" is the solver's own tree, a new one in each round. "tree" is one tree of this package over
        linear programs, whose nodes add tangents and hull cuts. It serves programs with integral columns.
        "auto" is "tree" where the loss enters by tangents in a sound gate, else "solver".
    image_program : callable, optional
        A function that solves the program of one image alone, from which a large "tree" of several
        images gets cuts.
    progress : callable, optional
        Called with an :class:`~oamip_model.runs.events.Event` after each round, and every few nodes.
    interrupted : bool, default False
        Whether Ctrl-C came before the call. The result is then the start, without a solve.

    Returns
    -------
    InstanceSolution
        Status, scores, objective, bound and gap.

    Raises
    ------
    InputError
        For an option that is not valid.
    SolverMissingError
        Where the solver cannot be used.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> instance = om.build_instance(om.read_network(module), np.ones((1, 2)), [0])
    >>> solution = solve_instance(instance)
    >>> solution.status.value, solution.gap < 1e-4
    ('optimal', True)
    """
    program = Program.of(instance)
    asked, tree = as_solver(solver), as_search(search, program.by_rounds and program.gate.sound)
    tolerance, backend = asked.gap(), get_backend(asked.name)
    # The solver's gap is below the tolerance: solvers divide the gap by different numbers, and CBC proves just the gap
    # that it is given. Violations of rows that a solver allows must be smaller than the gap that is to be proved.
    feasibility = None if tolerance >= 100 * DEFAULT_FEASIBILITY else max(tolerance / 100, _LEAST_FEASIBILITY)
    options = asked.options(tolerance * (0.5 if program.by_rounds else 0.9), feasibility)
    given = (instance, backend, options, tolerance, progress)
    if interrupted:
        state = SolveState(*given)
        state.begin(start)
        return state.result(interrupted=True)
    if tree is not None:
        state = SolveState(*given)
        if state.arrays.is_mip:
            state.begin(start)
            return _solve_by_tree(state, tree, image_program)
    rounds = Rounds(*given)
    rounds.begin(start)
    return rounds.run()


def _solve_by_tree(state: SolveState, tree: TreeSearch, program: ImageProgram | None) -> InstanceSolution:
    """The solution by the package's own tree. After Ctrl-C it holds the incumbent and the bound so far."""
    interrupted = False
    try:
        Tree(state, tree, program).run()
    except KeyboardInterrupt:
        interrupted = True
    return state.result(interrupted)
