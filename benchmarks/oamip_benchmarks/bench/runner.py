"""Runs of the benchmark: what is planned, one watched process a solve, one row a solve."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oamip_benchmarks.bench.check import refuted
from oamip_benchmarks.bench.recipes import choose_recipes
from oamip_benchmarks.bench.rows import ResultStore, Row, Solve
from oamip_benchmarks.bench.supervise import Ended, require_psutil, single_threaded, supervise
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
LOGS = "logs"
LOG_BYTES = 2**20
"""A longer log is kept without its middle."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is to have.

    sizes, instances, tags: which instances, all where none are given; seeds: how many, from 0; permuted: seeds draw
    orders of rows and columns; memory: cap in MiB. The others are those of each solve.
    """

    solvers: Sequence[str] = ("highs",)
    bounds: Sequence[str] = ("interval",)
    relaxations: Sequence[str] = ("big-m",)
    sizes: Sequence[str] = ()
    instances: Sequence[str] = ()
    tags: Sequence[str] = ()
    seeds: int = 1
    permuted: bool = False
    time_limit: float = 60.0
    threads: int = 1
    tolerance: float = 1e-4
    memory: int = 4096


def make_plan(**asked: Any) -> list[Solve]:
    """The solves of a run, instance by instance, so that all solvers meet the same state of the machine.

    asked: the fields of :class:`Asked`. Combinations that the published gate does not define are left out. Raises
    InputError for an option that cannot be honoured, SolverMissingError for a solver that is not here.
    """
    of = Asked(**asked)
    chosen = choose_recipes(of.sizes, of.instances, of.tags)
    if not chosen:
        raise InputError("instance: none has all of the sizes, names and tags that were given")
    backends = [get_backend(name) for name in dict.fromkeys(of.solvers)]
    for backend in backends:
        for seed in range(1 if of.permuted else of.seeds):
            check_options(backend, Options(time_limit=of.time_limit, threads=of.threads, seed=seed))
    for bound in of.bounds:
        check_choice("bounds", bound, BOUND_METHODS)
    for relaxation in of.relaxations:
        check_choice("relaxation", relaxation, RELAXATIONS)
    return [
        Solve(recipe.name, bound, relaxation, backend.name, backend.version(), seed, of.threads, of.time_limit,
              of.tolerance, of.memory, of.permuted)
        for recipe in chosen
        for seed in range(of.seeds)
        for bound in dict.fromkeys(of.bounds)
        for relaxation in dict.fromkeys(of.relaxations)
        for backend in backends
        if recipe.takes(bound) and (recipe.settings().gate != "published" or relaxation == "big-m")
    ]  # fmt: skip


def run_plan(
    plan: Sequence[Solve],
    folder: Path,
    *,
    jobs: int = 1,
    grace: float = 10.0,
    progress: Callable[[int, int, Row], None] | None = None,
) -> list[Row]:
    """Rows of the plan, those that the folder has already included; only the others are solved.

    jobs: solves at once; with more than one their times are marked as parallel. grace: seconds beyond the limit before
    a solve is killed. Every row is on disk before the next solve of its slot begins. Raises InputError for a folder
    that cannot be made, has rows of another machine, or that another run is using; KeyboardInterrupt ends the solves
    that run, unrecorded.
    """
    require_psutil()
    make_folder(folder)
    make_folder(folder / "points")
    make_folder(folder / LOGS)
    with alone(folder, "out"):
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
    """The row of one solve, made in a process of its own. Raises KeyboardInterrupt where it was told to stop."""
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


def keep_log(folder: Path, key: str, text: str) -> str | None:
    """The name in the run's folder under which a log was kept, None for an empty one."""
    if not text.strip():
        return None
    raw = text.encode()
    if len(raw) > LOG_BYTES:
        left_out = len(raw) - LOG_BYTES
        middle = f"\n... {left_out} bytes are left out here ...\n".encode()
        raw = raw[: LOG_BYTES // 2] + middle + raw[-LOG_BYTES // 2 :]
    name = f"{LOGS}/{key}.log"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(raw)
    return name


def load_here() -> float | None:
    """The machine's mean number of running processes over the last minute; None where the system has none."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def make_row(solve: Solve, ended: Ended, told: Sequence[dict[str, Any]], output: str, log: str) -> Row:
    """The row of a solve from how its process ended, the events that it told, its output and the solver's log."""
    ready: dict[str, Any] = next((e for e in told if e["event"] == "ready"), {})
    done: dict[str, Any] = next((e for e in told if e["event"] == "done"), {})
    trace: Trace | None = [tuple(e["at"]) for e in told if e["event"] == "bounds"] or None
    if trace is None and solve.recipe.loss != "cross-entropy":
        trace = log_trace(solve.solver, log)
    status, message = str(done.get("status", "crash")), str(done.get("message", ""))
    if not done:
        status, message = _abnormal(ended, output)
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


def _abnormal(ended: Ended, output: str) -> tuple[str, str]:
    """Status and message of a process that ended without an answer."""
    if ended.reason == "memory":
        return "memory", f"killed at {ended.peak_mib:.0f} MiB"
    if ended.reason == "timeout":
        return "timeout", "killed after its time limit and the grace" if ended.seconds else "building took too long"
    lines = [line for line in output.splitlines() if line.strip()]
    if "bad_alloc" in output or "MemoryError" in output:
        return "memory", lines[-1][:300]
    how = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
    return "crash", f"the process ended with {how}" + (f": {lines[-1][:300]}" if lines else "")
