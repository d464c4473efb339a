"""Two revisions of the package on the same instances, solved in turn.

Run: python -m oamip_benchmarks.measures.house.revisions OTHER [--solver cbc] [--size small] [--instance NAME ...]
     [--seeds 1] [--repeats 2] [--time-limit 30] [--out rows.jsonl]

OTHER is a working copy of the other revision, which is the one that ratios are divided by. Each
revision has a process of its own, which builds an instance and solves it on request. The order
changes from solve to solve.
The results are the wall clock of the solve, and the CPU seconds of the process and its children. Of
repeated solves the least counts. Each instance's ratios are printed. Over all there are shifted
geometric means with a shift of 1 s, and the ratio of the sums. Proved optima and bounds are compared
up to twice the gap that both are asked for. With --out finished rows are kept in a file, from which
the same command at the same commits continues.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHIFT = 1.0
"""Seconds that are added in the geometric means, so that short solves do not decide them."""
SAME = 1e-4
"""Relative difference of two optima up to which they are the same: the tolerance that both are asked for."""
MEASURES = ("wall", "cpu", "solver")


def work() -> None:
    """Answer each line of JSON on standard input, which asks for a solve, by another."""
    import oamip_model as om
    from oamip_benchmarks.bench import recipes

    # Some revisions have it among the recipes.
    build: Any = getattr(recipes, "build_program", None)
    if build is None:
        from oamip_benchmarks.bench.programs import build_program as build
    for line in sys.stdin:
        asked = json.loads(line)
        instance = build(recipes.find_recipe(asked["instance"]), "interval", "big-m").instance
        limits = {"time_limit": asked["limit"], "seed": asked["seed"], "tolerance": 1e-4, "threads": 1}
        began, before = time.perf_counter(), _cpu()
        if hasattr(om, "Solver"):
            found = om.solve_instance(instance, om.Solver(asked["solver"], **limits))
        else:  # revisions from before the options were objects
            solve: Any = om.solve_instance
            found = solve(instance, asked["solver"], **limits)
        told = {
            "wall": time.perf_counter() - began, "cpu": _cpu() - before, "solver": found.solver_seconds,
            "status": found.status.value, "objective": found.objective, "bound": found.bound, "rounds": found.rounds,
            "nodes": found.nodes, "message": found.message,
        }  # fmt: skip
        print(json.dumps(told), flush=True)


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class Revision:
    """A working copy, and the process that solves with it."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join(str(folder / part) for part in (".", "backends", "benchmarks"))
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", str(folder)], env={**os.environ, "PYTHONPATH": path}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder,
        )  # fmt: skip

    def solve(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the revision makes of it."""
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None
        assert answers is not None
        to.write(json.dumps(asked) + "\n")
        to.flush()
        line = answers.readline()
        if not line:
            raise SystemExit(f"revisions: the process ended with {self._process.wait()} on {asked}")
        told: dict[str, Any] = json.loads(line)
        return told

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def names_in(checkout: Path) -> set[str]:
    """The names of the instances in a revision's library."""
    from oamip_model.records import parse_json

    path = checkout / "benchmarks" / "oamip_benchmarks" / "bench" / "library" / "instances.json"
    return {instance["name"] for instance in parse_json(path.read_bytes(), str(path))["instances"]}


def compared(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each instance and seed: the answers of both revisions."""
    from oamip_benchmarks.bench.recipes import choose_recipes
    from oamip_model.runs.environment import revision_of
    from oamip_model.runs.store import RunStore, key_of

    here = Path(__file__).parents[4]
    store = RunStore(arguments.out)
    codes = [revision_of(arguments.other), revision_of(here)]
    sides = {"before": Revision(arguments.other), "after": Revision(here)}
    turn = False
    known = names_in(arguments.other)
    for recipe in choose_recipes(arguments.size, arguments.instance):
        if recipe.name not in known:
            print(f"{recipe.name:55} left out: {arguments.other} does not have it", flush=True)
            continue
        for seed in range(arguments.seeds):
            asked = {
                "instance": recipe.name,
                "solver": arguments.solver,
                "seed": seed,
                "limit": arguments.time_limit,
            }
            key = key_of(codes=codes, repeats=arguments.repeats, **asked)
            done = store.get(key)
            if done is not None:
                yield done
                continue
            row: dict[str, Any] = {"instance": recipe.name, "seed": seed, "solver": arguments.solver}
            for _ in range(arguments.repeats):
                turn = not turn
                for side in sorted(sides, reverse=turn):
                    found = sides[side].solve(asked)
                    if side in row:
                        found |= {measure: min(found[measure], row[side][measure]) for measure in MEASURES}
                    row[side] = found
            store.put(key, row)
            yield row
    for revision in sides.values():
        revision.close()


def ended_alike(row: dict[str, Any]) -> bool:
    """Whether both ended with the same status, and where proved the same values."""
    one, other = row["before"], row["after"]
    if one["status"] != other["status"]:
        return False
    if one["status"] != "optimal":
        return True
    return all(_near(one[part], other[part], one["objective"]) for part in ("objective", "bound"))


def contradict(row: dict[str, Any]) -> bool:
    """Whether a side's bound passes the other's objective by more than the gap."""
    sides = (row["before"], row["after"])
    known = [one for one in sides if one["objective"] is not None and one["bound"] is not None]
    # The bound lies below the objective where the program is minimised, and above it otherwise.
    sign = max((one["objective"] - one["bound"] for one in known), key=abs, default=0.0)
    passed = [
        (a["bound"] - b["objective"]) * (1 if sign >= 0 else -1) > SAME * max(1e-9, abs(b["objective"]))
        for a, b in (sides, sides[::-1])
        if a["bound"] is not None and b["objective"] is not None
    ]
    return any(passed)


def _near(a: float | None, b: float | None, size: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= 2 * SAME * max(1e-9, abs(size))


def mean_ratio(rows: list[dict[str, Any]], measure: str) -> float:
    """The ratio of the shifted geometric means."""
    import numpy as np

    logs = [np.log([row[side][measure] + SHIFT for row in rows]) for side in ("before", "after")]
    return float(np.exp(np.mean(logs[1] - logs[0])))


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print the ratios over these rows."""
    sums = {side: sum(row[side]["cpu"] for row in rows) for side in ("before", "after")}
    told = ", ".join(f"{measure} {mean_ratio(rows, measure):.3f}" for measure in MEASURES)
    print(
        f"{title} ({len(rows)}): {told}; seconds of CPU {sums['before']:.1f} and {sums['after']:.1f}, ratio "
        f"{sums['after'] / sums['before']:.3f}",
        flush=True,
    )


def main() -> None:
    """Solve all instances by both revisions and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--size", action="append", default=None, help="small unless given; may be repeated")
    parser.add_argument("--instance", action="append", default=None, help="only this one; may be repeated")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--time-limit", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=None, help="store of finished rows, which are not solved again")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    arguments.size = arguments.size or (["small"] if arguments.instance is None else [])
    arguments.instance = arguments.instance or []
    rows = []
    for row in compared(arguments):
        rows.append(row)
        ratios = " ".join(f"{row['after'][m] / max(row['before'][m], 1e-9):6.2f}" for m in MEASURES)
        ends = "" if ended_alike(row) else f"  {row['before']['status']} / {row['after']['status']}"
        ends += "  a bound passes the other's objective" if contradict(row) else ""
        print(f"{row['instance']:55} {row['seed']} {row['before']['cpu']:7.2f} s {ratios}{ends}", flush=True)
    show(rows, "all")
    alike = [row for row in rows if ended_alike(row)]
    if 0 < len(alike) < len(rows):
        show(alike, "those that end alike")
    wrong = sum(map(contradict, rows))
    print(f"same status, optimum and bound: {len(alike)} of {len(rows)}; a bound passes an objective: {wrong}")


if __name__ == "__main__":
    main()
