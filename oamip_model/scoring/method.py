"""What every method of scoring has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from oamip_model.checks import Checked, check_used
from oamip_model.errors import InputError
from oamip_model.scoring.strategies import LAYERWISE, WHOLE
from oamip_model.solving.options import Run, Solver

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.network import Network

    Heads: TypeAlias = Mapping[str, Network | nn.Module]


class Method(Checked):
    """A way to score units, which says what it uses of a Solver and of a Run.

    called: its name as a strategy.
    """

    solver_fields: ClassVar[tuple[str, ...]] = ("name", "time_limit", "tolerance", "seed")
    run_fields: ClassVar[tuple[str, ...]] = ("progress", "total_time_limit", "store")
    alone: ClassVar[str] = ""
    """Why its programs cannot be solved at once, where they cannot."""

    def check_given(self, solver: Solver | None, run: Run) -> None:
        """Raise InputError for what this method has no use for of a solver and a run.

        Parameters
        ----------
        solver : Solver, optional
            The solver with its options, None where none was given.
        run : Run
            Where programs are solved.

        Raises
        ------
        InputError
            For the first option that is set and has no use.
        """
        by = f"strategy {self.called}"
        if solver is not None and not self.solver_fields:
            known = ", ".join((*LAYERWISE, *WHOLE))
            told = repr(solver.label) if solver == Solver(solver.name) else repr(solver)
            raise InputError(f"solver: got {told}, but {by} solves no program; methods that do are {known}")
        solver = Solver() if solver is None else solver
        workers = run.workers
        if workers.several and self.alone:
            given = f"engine: got {run.engine!r}" if run.engine == "dask" else f"jobs: got {run.jobs!r}"
            raise InputError(f"{given}, but {by} {self.alone}")
        check_used(solver, self.solver_fields, by)
        check_used(run, (*self.run_fields, "jobs", "engine", "scheduler"), by)
        if workers.several and solver.threads != 1:
            raise InputError(
                f"threads: got {solver.threads!r}, accepted is 1 where several programs are solved at once"
            )
        if workers.several and solver.log_file is not None:
            raise InputError("log_file: several programs that are solved at once would mix their logs")
