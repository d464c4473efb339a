"""Runs the benchmark: one watched process and one row for each planned solve."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oamip_benchmarks.bench.check import refuted
from oamip_benchmarks.bench.recipes import choose_recipes
from oamip_benchmarks.bench.rows import Limits, ResultStore, Row, Solve
from oamip_benchmarks.bench.supervise import (
    LOGS,
    Ended,
    abnormal,
    keep_log,
    load_here,
    require_psutil,
    single_threaded,
    supervise,
)
from oamip_benchmarks.bench.trace import Trace, log_trace, primal_dual_integral
from oamip_model.errors import InputError
from oamip_model.files import alone, replacing
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import check_choice
from oamip_model.records import parse_json
from oamip_model.runs.environment import describe, read_environment, same_machine
from oamip_model.runs.folders import make_folder
from oamip_model.scratch import scratch_folder
from oamip_model.solving.protocol import Capability, Options, check_options
from oamip_model.solving.registry import get_backend
from oamip_model.tightening.methods import BOUND_METHODS

PREPARATION = 300.0
"""Seconds that bounds and building may take beyond the time limit before a solve is given up."""
ENVIRONMENT = "environment.json"


def make_plan(
    *,
    solvers: Sequence[str] = ("highs",),
    bounds: Sequence[str] = ("interval",),
    relaxations: Sequence[str] = ("big-m",),
    sizes: Sequence[str] = (),
    instances: Sequence[str] = (),
    tags: Sequence[str] = (),
    seeds: int = 1,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> list[Solve]:
    """The solves of a run, instance by instance.

    In this order all solvers meet the same state of the machine. Combinations that the published gate does not define
    are left out.

    Parameters
    ----------
    solvers, bounds, relaxations : sequence of str
        What is combined.
    sizes, instances, tags : sequence of str, optional
        The instances: of one of the sizes and names, with all of the tags. All where none are given.
    seeds : int, default 1
        How many seeds, from 0.
    limits : Limits, optional
        What each solve may cost.

    Returns
    -------
    list of Solve
        The plan.

    Raises
    ------
    InputError
        For an option that cannot be honoured.
    SolverMissingError
        For a solver that is not here.
    """
    chosen = choose_recipes(sizes, instances, tags)
    if not chosen:
        raise InputError("instance: none has all of the sizes, names and tags that were given")
    backends = [get_backend(name) for name in dict.fromkeys(solvers)]
    for backend in backends:
        for seed in range(1 if limits.permuted else seeds):
            check_options(backend, Options(time_limit=limits.time_limit, threads=limits.threads, seed=seed))
    for bound in bounds:
        check_choice("bounds", bound, BOUND_METHODS)
    for relaxation in relaxations:
        check_choice("relaxation", relaxation, RELAXATIONS)
    return [
        Solve(recipe.name, bound, relaxation, backend.name, backend.version(), seed, **asdict(limits))
        for recipe in chosen
        for seed in range(seeds)
        for bound in dict.fromkeys(bounds)
        for relaxation in dict.fromkeys(relaxations)
        for backend in backends
        if recipe.takes(bound) and (recipe.settings().gate != "published" or relaxation == "big-m")
    ]


def run_plan(
    plan: Sequence[Solve],
    folder: Path,
    *,
    jobs: int = 1,
    grace: float = 10.0,
    progress: Callable[[int, int, Row], None] | None = None,
) -> list[Row]:
    """The rows of the plan; solves that the folder already has are not run again.

    Every row is on disk before the next solve of its slot begins.

    Parameters
    ----------
    plan : sequence of Solve
        The solves.
    folder : Path
        The run's folder.
    jobs : int, default 1
        Solves at once. With more than one their times are marked as parallel.
    grace : float, default 10
        Seconds beyond the limit before a solve is killed.
    progress : callable, optional
        Is called with the number of solves done, of all solves, and the new row.

    Returns
    -------
    list of Row
        One for each solve of the plan.

    Raises
    ------
    InputError
        For a folder that cannot be made, has rows of another machine, or that another run is using.
    KeyboardInterrupt
        Ends the solves that run, unrecorded.
    """
    require_psutil()
    make_folder(folder)
    with alone(folder, "out"):
        make_folder(folder / "points")
        make_folder(folder / LOGS)
        here = _same_place(folder)
        store = ResultStore(folder)
        todo = [solve for solve in plan if solve.key not in store.rows]
        done = len(plan) - len(todo)
        stop = threading.Event()
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(run_one, solve, folder, jobs > 1, grace, stop.is_set) for solve in todo]
            try:
                for future in as_completed(futures):
                    # Not that of the folder: a run may go on with other code.
                    row = future.result() | {"revision": here["revision"]}
                    store.put(row)
                    done += 1
                    if progress is not None:
                        progress(done, len(plan), row)
            except BaseException:
                stop.set()
                for future in futures:
                    future.cancel()
                raise
        return [store.rows[solve.key] for solve in plan]


def _same_place(folder: Path) -> dict[str, Any]:
    here, path = describe(), folder / ENVIRONMENT
    if path.exists():
        if not same_machine(read_environment(path, "out"), here):
            raise InputError(f"out: {folder} holds rows of another machine, give another folder")
        return here
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(here, indent=1) + "\n", encoding="utf-8")
    return here


def run_one(solve: Solve, folder: Path, parallel: bool, grace: float, stop: Callable[[], bool]) -> Row:
    """The row of one solve, made in a process of its own.

    Parameters
    ----------
    solve : Solve
        The solve.
    folder : Path
        The run's folder.
    parallel : bool
        Whether others run beside it.
    grace : float
        Seconds beyond the limit before it is killed.
    stop : callable
        Whether the run is to end.

    Raises
    ------
    KeyboardInterrupt
        Where the run is to end.
    """
    if stop():
        raise KeyboardInterrupt
    started = datetime.now(UTC).isoformat(timespec="seconds")
    load = load_here()
    with scratch_folder("bench") as scratch:
        events = scratch / "events.jsonl"
        events.touch()
        spec = {
            "solve": vars(solve), "events": str(events), "parent": os.getpid(),
            "log": _log_path(solve, scratch), "point": str(folder / "points" / f"{solve.key}.npz"),
            # A backstop for what grows faster than the watch looks; address space is more than resident memory.
            "address_space": (solve.memory + 4096) * 2**20 if sys.platform == "linux" else None,
        }  # fmt: skip
        (scratch / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        ended = supervise(
            [sys.executable, "-P", "-m", "oamip_benchmarks.bench.worker", str(scratch / "spec.json")],
            environment=single_threaded(solve.threads), log=scratch / "output.txt",
            ready=lambda: b'"ready"' in events.read_bytes(), before=PREPARATION + solve.time_limit,
            limit=solve.time_limit + grace, memory_mib=solve.memory, stop=stop,
        )  # fmt: skip
        if ended.reason == "stop":
            raise KeyboardInterrupt
        told = [
            parse_json(line, "events of the solve")
            for line in events.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")
        ]
        output = (scratch / "output.txt").read_text(errors="replace")
        log = scratch / "solver.log"
        text = log.read_text(errors="replace") if log.exists() else ""
    kept = keep_log(folder, solve.key, text)
    after = load_here()
    loads = None if load is None or after is None else [load, after]
    row = make_row(solve, ended, told, output, text)
    return row | {"parallel": parallel, "started": started, "load": loads, "log": kept}


def _log_path(solve: Solve, scratch: Path) -> str | None:
    logs = Capability.LOG_FILE in get_backend(solve.solver).capabilities
    return str(scratch / "solver.log") if logs else None


def make_row(solve: Solve, ended: Ended, told: Sequence[dict[str, Any]], output: str, log: str) -> Row:
    """The row of a solve, from its events, output and log.

    Parameters
    ----------
    solve : Solve
        The solve.
    ended : Ended
        How its process ended.
    told : sequence of dict
        The events that it wrote.
    output : str
        What it printed.
    log : str
        The solver's log.
    """
    ready: dict[str, Any] = next((e for e in told if e["event"] == "ready"), {})
    done: dict[str, Any] = next((e for e in told if e["event"] == "done"), {})
    trace: Trace | None = [tuple(e["at"]) for e in told if e["event"] == "bounds"] or None
    if trace is None and solve.recipe.loss != "cross-entropy":
        trace = log_trace(solve.solver, log)
    status, message = str(done.get("status", "crash")), str(done.get("message", ""))
    if not done:
        status, message = abnormal(ended, output)
    elif status == "unbounded":
        status, message = "error", f"claimed unbounded; {message}"
    wall = done.get("wall_seconds", ended.seconds)
    last = trace[-1] if trace else (0.0, None, None)
    row = solve.row() | {
        "program": solve.recipe.program(solve.bounds, solve.relaxation), "status": status,
        "objective": done.get("objective", last[1]), "bound": done.get("bound", last[2]), "gap": done.get("gap"),
        "nodes": done.get("nodes"), "rounds": done.get("rounds"), "wall_seconds": wall,
        "build_seconds": ready.get("build_seconds"), "bounds_seconds": ready.get("bounds_seconds"),
        "solver_seconds": done.get("solver_seconds"),
        "peak_memory_mib": max(ended.peak_mib, done.get("peak_memory_mib", 0.0)), "trace": trace,
        "primal_dual_integral": None if trace is None else primal_dual_integral(trace, wall),
        "check": done.get("check"), "as_recorded": ready.get("as_recorded"), "message": message,
    }  # fmt: skip
    fault = _fault(solve, row)
    return row | {"status": "wrong", "message": fault} if fault else row


def _fault(solve: Solve, row: Row) -> str:
    check = row["check"] or {}
    if check.get("passed") is False:
        return str(check["message"])
    best = solve.recipe.best
    own = not solve.recipe.relaxed or (solve.bounds, solve.relaxation) == ("interval", "big-m")
    return refuted(row, [(best.objective, best.objective_by)]) if own else ""
