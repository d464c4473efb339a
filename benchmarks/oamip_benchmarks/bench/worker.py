"""One solve in a process of its own, which writes what happens as events.

Usage: ``python -m oamip_benchmarks.bench.worker SPEC.json``. Events are written to a file, one JSON
line each. So the runner knows the phase, and keeps the incumbent when this process is killed.
Events are "ready" (built, the solve begins), "bounds" (objective and bound after a round) and
"done".
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from oamip_benchmarks.bench.rows import LICENCE, Solve
from oamip_benchmarks.bench.trace import finite
from oamip_model.errors import LicenceError
from oamip_model.records import Count, checked, read_json
from oamip_model.runs.events import Event
from oamip_model.runs.processes import die_with_parent


class _Spec(TypedDict):
    """A solve, its files and its limits, as the runner gives them."""

    solve: Solve
    events: str
    parent: Count
    log: str | None
    point: str
    address_space: Count | None


class Events:
    """Appends events to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def tell(self, event: str, **values: Any) -> None:
        """Write one event; another process sees it at once."""
        self._file.write(json.dumps({"event": event} | values, allow_nan=False) + "\n")
        self._file.flush()


def run(spec: _Spec, events: Events) -> None:
    """Build, solve and check, and write each step as an event.

    It raises what the package and the solver raise.
    """
    import oamip_model as om
    from oamip_benchmarks.bench.check import check_point, point_of, save_point
    from oamip_benchmarks.bench.permuted import Permuted
    from oamip_benchmarks.bench.programs import arrays_hash, build_program

    solve = spec["solve"]
    recipe = solve.recipe
    program = build_program(recipe, solve.bounds, solve.relaxation)
    digest = arrays_hash(program.arrays)
    own = (solve.bounds, solve.relaxation) == ("interval", "big-m")
    events.tell(
        "ready", build_seconds=program.build_seconds, bounds_seconds=program.bounds_seconds, sha256=digest,
        as_recorded=digest == recipe.sha256 if own else None,
    )  # fmt: skip
    began = time.perf_counter()

    def progress(event: Event) -> None:
        if event.kind != "image":
            incumbent = None if event.kind == "relaxation" else event.objective
            events.tell("bounds", at=[event.seconds, finite(incumbent), finite(event.bound)])

    permuted = Permuted(om.get_backend(solve.solver), solve.seed) if solve.permuted and solve.seed else None
    solution = om.solve_instance(
        program.instance,
        om.Solver(
            permuted or solve.solver,
            tolerance=solve.tolerance,
            time_limit=solve.time_limit,
            threads=solve.threads,
            seed=0 if solve.permuted else solve.seed,
            log_file=spec["log"],
        ),
        progress=progress,
    )
    wall = time.perf_counter() - began
    check = None
    if solution.scores is not None:
        x = point_of(program.instance)
        save_point(Path(spec["point"]), x, solution.logits)
        check = check_point(program, x, solution.objective)
    events.tell(
        "done", status=solution.status.value, objective=solution.objective, bound=solution.bound, gap=solution.gap,
        nodes=solution.nodes, rounds=solution.rounds, wall_seconds=wall, solver_seconds=solution.solver_seconds,
        version=solution.version, check=check, message=solution.message, peak_memory_mib=peak_mib(),
    )  # fmt: skip


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux that begins at what the parent had when it started this process.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main(path: str) -> None:
    """Run the solve that the file describes; errors become an event."""
    where = f"solve: {path}"
    spec = checked(_Spec, read_json(Path(path), where), where)
    die_with_parent(spec["parent"])
    if spec["address_space"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (spec["address_space"], resource.RLIM_INFINITY))
    events = Events(Path(spec["events"]))
    try:
        run(spec, events)
    except MemoryError:
        events.tell("done", status="memory", message="the process ran out of memory", peak_memory_mib=peak_mib())
    except LicenceError as error:
        events.tell("done", status=LICENCE, message=" ".join(str(error).split()), peak_memory_mib=peak_mib())
    except Exception as error:  # whatever a solver's interface raises is that solve's row
        message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        events.tell("done", status="error", message=message, peak_memory_mib=peak_mib())


if __name__ == "__main__":
    main(sys.argv[1])
