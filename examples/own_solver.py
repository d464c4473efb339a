"""A solver of your own: SciPy's linprog and milp, registered and used by its name.

Run it with ``python examples/own_solver.py``. A backend needs ``oamip_model.solving.protocol`` alone. This one
builds on ``CheckedRun``, which checks the program and the point, settles unclear statuses, and makes the solution. A
package would offer it by an entry point of the group ``oamip_model.backends``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from oamip_backends.shared.common import CheckedRun
from oamip_backends.shared.handover import Limits
from oamip_backends.shared.outcome import Outcome

import oamip_model as om
from oamip_model.solving import register_backend
from oamip_model.solving.protocol import (
    DEFAULT_FEASIBILITY,
    DEFAULT_GAP,
    Array,
    Arrays,
    Capability,
    Options,
    Solution,
    SolverMissingError,
    Status,
)

UNIT = 2.0**10
"""milp stops at an absolute gap of 1e-6, which cannot be changed. With costs in this unit it is 1e-9 in ours."""

ENDED = {0: Status.OPTIMAL, 1: Status.FEASIBLE, 2: Status.INFEASIBLE, 3: Status.UNBOUNDED}
"""SciPy's numbers for the status of a solve. Any other number is a failure."""


class OwnSolver:
    """SciPy's solvers of linear and mixed-integer programs, which call HiGHS."""

    name = "scipy"
    licence = "BSD-3-Clause"
    # Only what it really does, since an option that needs another capability is refused. milp takes no threads and no
    # seed, and a solve that is stopped without a point has no bound.
    capabilities: frozenset[Capability] = frozenset()

    def check(self) -> None:
        """Raise SolverMissingError with what to install, where the solver is missing. It has to be quick."""
        try:
            import scipy.optimize  # noqa: F401
        except ImportError as error:
            raise SolverMissingError(f"scipy: {error}: pip install scipy") from None

    def version(self) -> str:
        """The solver's own version."""
        import scipy

        return str(scipy.__version__)

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch."""
        return OwnRun(self, arrays, options).solve(start)


class OwnRun(CheckedRun):
    """One solve: ``run`` gives SciPy's answer, which CheckedRun checks and turns into a Solution."""

    def limits(self) -> Limits:
        """The numbers that SciPy takes unchanged. A program with others is refused, with the row named."""
        return Limits("scipy", dropped=1e-9, largest=1e15, largest_cost=1e19)

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give SciPy's answer."""
        limit = {} if time_limit is None else {"time_limit": float(time_limit)}
        return self.integer(limit) if self.arrays.is_mip else self.linear(self.arrays, limit)

    def integer(self, limit: dict[str, float]) -> Outcome:
        """A mixed-integer program: a point, a bound, and the number of nodes."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        a = self.arrays
        gap = DEFAULT_GAP if self.options.gap is None else self.options.gap
        rows = LinearConstraint(a.matrix, a.row_lower, a.row_upper) if a.matrix.shape[0] else ()
        found = milp(
            UNIT * a.sense * a.cost, integrality=a.integral.astype(int), bounds=Bounds(a.lower, a.upper),
            constraints=rows, options={**limit, "mip_rel_gap": gap},
        )  # fmt: skip
        outcome = self.ended(found)
        if found.mip_node_count is not None:
            outcome.nodes = int(found.mip_node_count)
        if found.mip_dual_bound is not None:
            # SciPy minimises, and has no offset. The bound is given in the program's sense, with its offset.
            outcome.bound = a.sense * float(found.mip_dual_bound) / UNIT + a.offset
        if outcome.x is not None:
            outcome.x = self.polished(outcome.x, limit)
        return outcome

    def polished(self, x: Array, limit: dict[str, float]) -> Array:
        """The point x with its integral columns rounded, and the others by linprog.

        milp takes no tolerance for rows and integrality, and linprog does.
        """
        a = self.arrays
        whole = np.round(x)
        lower, upper = (np.where(a.integral, whole, side) for side in (a.lower, a.upper))
        held = Arrays(
            a.matrix, a.cost, lower, upper, a.row_lower, a.row_upper, np.zeros_like(a.integral), a.offset, a.sense
        )
        found = self.linear(held, limit).x
        return x if found is None else found

    def linear(self, a: Arrays, limit: dict[str, float]) -> Outcome:
        """A linear program: a point, and the duals of the rows, from which a bound is proved."""
        from scipy.optimize import linprog

        equal = a.row_lower == a.row_upper
        below, above = ~equal & np.isfinite(a.row_upper), ~equal & np.isfinite(a.row_lower)
        tolerance = DEFAULT_FEASIBILITY if self.options.feasibility is None else self.options.feasibility
        found = linprog(
            a.sense * a.cost,
            A_ub=sp.vstack([a.matrix[below], -a.matrix[above]], format="csr"),
            b_ub=np.concatenate([a.row_upper[below], -a.row_lower[above]]),
            A_eq=a.matrix[equal], b_eq=a.row_upper[equal], bounds=np.column_stack([a.lower, a.upper]),
            method="highs",
            options={**limit, "primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": 1e-9},
        )  # fmt: skip
        outcome = self.ended(found)
        if outcome.status is Status.OPTIMAL:
            outcome.bound = a.objective(found.x)
            # A dual is the derivative of the objective by the row's active bound, also when maximising.
            duals, split = np.zeros(a.matrix.shape[0]), int(below.sum())
            duals[equal] = found.eqlin.marginals
            duals[below] += found.ineqlin.marginals[:split]
            duals[above] -= found.ineqlin.marginals[split:]
            outcome.row_duals = a.sense * duals
        return outcome

    def ended(self, found: Any) -> Outcome:
        """The status and the point of a solve. What is not known is None: nothing is guessed."""
        outcome = Outcome(ENDED.get(found.status, Status.ERROR), message="" if found.status == 0 else found.message)
        outcome.timed_out = found.status == 1 and "ime limit" in found.message
        # "Infeasible or unbounded": CheckedRun finds out which it is.
        outcome.unclear = found.status == 4 and "unbounded or infeasible" in found.message.lower()
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE) and found.x is not None:
            outcome.x = np.array(found.x)
        return outcome


register_backend(OwnSolver)


def main() -> None:
    """Print the optimum of one network by the package's own default solver, and by this one."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).eval()
    network = om.read_network(module, (4,))
    images, labels = np.random.default_rng(0).random((8, 4)), np.arange(8) % 3
    for name in ("highs", "scipy"):
        instance = om.build_instance(network, images, labels, om.Formulation(scores="binary", sparsity="mean"))
        solution = om.solve_instance(instance, solver=name)
        print(f"{name}: {solution.status.value}, objective {solution.objective:.6f}, bound {solution.bound:.6f}")


if __name__ == "__main__":
    main()
