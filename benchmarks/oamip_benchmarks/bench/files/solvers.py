"""Solvers that read a model file themselves, with no help from this package."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oamip_model.errors import InputError, SolverMissingError
from oamip_model.scratch import scratch_folder
from oamip_model.solving.registry import get_backend

GAP = 1e-9
"""Relative gap asked of every solver."""
FEASIBILITY = 1e-8
"""Largest violation of a row, a bound or integrality asked of every solver. With 1e-9 HiGHS 1.15.1 calls a point of one
of the library's files optimal that is not, by a tenth."""


@dataclass(frozen=True)
class Answer:
    """The answer of a solver to a file.

    Parameters
    ----------
    status : str
        "optimal", "limit" (stopped by its time limit), "licence" (it refuses a model of this size), or
        the solver's own word.
    objective, bound : float or None
        None where unknown.
    message : str
        Its last lines, where it failed.
    """

    status: str
    objective: float | None = None
    bound: float | None = None
    message: str = ""


def ask(solver: str, path: Path, time_limit: float) -> Answer:
    """The answer of a solver to a file that it reads itself.

    Parameters
    ----------
    solver : str
        Name of the solver.
    path : Path
        The file.
    time_limit : float
        Seconds.

    Returns
    -------
    Answer
        Status, objective and bound.

    Raises
    ------
    InputError
        For a solver without a reader here.
    SolverMissingError
        Where the solver is not installed.
    """
    check_reader(solver)
    return _READERS[solver](path, time_limit)


def check_reader(solver: str) -> None:
    """Make sure that a solver has a reader here and is installed.

    Raises
    ------
    InputError
        For a solver without a reader here.
    SolverMissingError
        Where the solver is not installed.
    """
    if solver not in _READERS:
        raise InputError(f"solver: got {solver!r}, accepted are {', '.join(_READERS)}")
    get_backend(solver).check()


def readers_here() -> list[str]:
    """The solvers with a reader that are installed."""
    found = []
    for solver in _READERS:
        try:
            check_reader(solver)
        except SolverMissingError:
            continue
        found.append(solver)
    return found


def _highs(path: Path, time_limit: float) -> Answer:
    import highspy

    solver = highspy.Highs()
    options = {"output_flag": False, "threads": 1, "mip_rel_gap": GAP, "mip_abs_gap": GAP, "time_limit": time_limit}
    options |= {f"{kind}_feasibility_tolerance": FEASIBILITY for kind in ("primal", "dual", "mip")}
    for name, value in options.items():
        solver.setOptionValue(name, value)
    if solver.readModel(str(path)) == highspy.HighsStatus.kError:
        return Answer("unread")
    solver.run()
    status, told = solver.getModelStatus(), solver.getInfo()
    if status == highspy.HighsModelStatus.kOptimal:
        return Answer("optimal", told.objective_function_value, told.objective_function_value)
    if status != highspy.HighsModelStatus.kTimeLimit:
        return Answer(solver.modelStatusToString(status).lower())
    some = told.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    is_mip = any(kind != highspy.HighsVarType.kContinuous for kind in solver.getLp().integrality_)
    return Answer("limit", told.objective_function_value if some else None, told.mip_dual_bound if is_mip else None)


def _scip(path: Path, time_limit: float) -> Answer:
    from pyscipopt import Model

    model = Model()
    model.hideOutput()
    model.readProblem(str(path))
    values = {"limits/gap": GAP, "limits/absgap": GAP, "limits/time": time_limit, "numerics/feastol": FEASIBILITY}
    model.setParams(values)
    model.optimize()
    status, bound = model.getStatus(), model.getDualbound()
    objective = model.getObjVal() if model.getNSols() else None
    if status in ("optimal", "gaplimit"):
        return Answer("optimal", objective, bound)
    return Answer("limit" if status == "timelimit" else status, objective, None if model.isInfinity(-bound) else bound)


def _gurobi(path: Path, time_limit: float) -> Answer:
    import gurobipy as gp

    with gp.Env(params={"OutputFlag": 0}) as environment, gp.read(str(path), env=environment) as model:
        values = {"MIPGap": GAP, "MIPGapAbs": GAP, "TimeLimit": time_limit, "Threads": 1, "IntFeasTol": FEASIBILITY}
        for name, value in (values | {"FeasibilityTol": FEASIBILITY, "OptimalityTol": FEASIBILITY}).items():
            model.setParam(name, value)
        try:
            model.optimize()
        except gp.GurobiError as error:
            if error.errno == gp.GRB.Error.SIZE_LIMIT_EXCEEDED:
                return Answer("licence", message=str(error))
            raise
        objective = model.ObjVal if model.SolCount else None
        if model.Status == gp.GRB.OPTIMAL:
            return Answer("optimal", objective, model.ObjBound if model.IsMIP else objective)
        bound = model.ObjBound if model.IsMIP and abs(model.ObjBound) < gp.GRB.INFINITY else None
        return Answer("limit" if model.Status == gp.GRB.TIME_LIMIT else f"status {model.Status}", objective, bound)


def _cbc(path: Path, time_limit: float) -> Answer:
    from oamip_backends.cbc import cbc_binary

    options = {"timeMode": "elapsed", "seconds": time_limit, "ratioGap": GAP, "allowableGap": GAP, "increment": GAP,
               "primalTolerance": FEASIBILITY, "integerTolerance": FEASIBILITY,
               # Its own scaling makes it call points optimal that are not, where coefficients are tiny.
               "scaling": "off"}  # fmt: skip
    with scratch_folder("cbc") as scratch:
        head, message = scratch / "head.sol", ""
        read = path
        command = [part for option, value in options.items() for part in (f"-{option}", str(value))]
        for attempt in (0, 1):
            told = subprocess.run(
                [cbc_binary(), str(read), *command, "-solve", "-solution", str(head)], text=True, capture_output=True,
                check=False, timeout=2 * time_limit + 60,
            )  # fmt: skip
            if attempt or head.exists() or path.suffix != ".gz":
                break
            # The build that pulp brings has no zlib, and ends with an error, or by throwing one.
            read, message = scratch / path.stem, "unpacked for a CBC without zlib"
            with gzip.open(path, "rb") as packed, read.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        if not head.exists():
            return Answer("unread", message=(told.stdout + told.stderr).strip()[-200:])
        ended = head.read_text().splitlines()[0]
    number = re.search(r"objective value\s+(\S+)", ended)
    objective = float(number[1]) if number else None
    if ended.startswith("Optimal"):
        return Answer("optimal", objective, objective, message)
    bound = re.findall(r"(?:best possible|Lower bound:)\s+(\S+?),?\s", told.stdout)
    least = float(bound[-1]) if bound and abs(float(bound[-1])) < 1e49 else None
    found = objective is not None and "no integer solution" not in ended
    status = "limit" if ended.startswith("Stopped") else ended.split(" - ")[0].lower()
    return Answer(status, objective if found else None, least, message)


_READERS: dict[str, Callable[[Path, float], Answer]] = {"highs": _highs, "cbc": _cbc, "scip": _scip, "gurobi": _gurobi}
