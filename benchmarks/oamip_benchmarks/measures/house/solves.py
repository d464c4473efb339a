"""Solves instances with the code of a source tree, which may be an old one.

It is a script for :mod:`oamip_benchmarks.measures.house.revisions`, which starts it with the path of
that tree. So it imports nothing that only this revision has.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

_SMALLEST = "digits-dense-n2-switch-binary-hinge"
"""An instance of all revisions that each solver proves in a fraction of a second."""


def work() -> None:
    """Answer each line of JSON on standard input, which asks for a solve, by another."""
    import oamip_model as om
    from oamip_benchmarks.bench import recipes

    # Some revisions have it among the recipes.
    build: Any = getattr(recipes, "build_program", None)
    if build is None:
        from oamip_benchmarks.bench.programs import build_program as build
    warm = False
    for line in sys.stdin:
        asked = json.loads(line)
        if not warm:
            # The first solve of a process loads libraries, which no instance is charged with.
            _solve(om, build(recipes.find_recipe(_SMALLEST), "interval", "big-m").instance, asked)
            warm = True
        instance = build(recipes.find_recipe(asked["instance"]), "interval", "big-m").instance
        began, before = time.perf_counter(), _cpu()
        found = _solve(om, instance, asked)
        told = {
            "wall": time.perf_counter() - began, "cpu": _cpu() - before, "solver": found.solver_seconds,
            "status": found.status.value, "objective": found.objective, "bound": found.bound, "rounds": found.rounds,
            "nodes": found.nodes, "message": found.message,
        }  # fmt: skip
        print(json.dumps(told), flush=True)


def _solve(om: Any, instance: Any, asked: dict[str, Any]) -> Any:
    limits = {"time_limit": asked["limit"], "seed": asked["seed"], "tolerance": 1e-4, "threads": 1}
    if hasattr(om, "Solver"):
        return om.solve_instance(instance, om.Solver(asked["solver"], **limits))
    return om.solve_instance(instance, asked["solver"], **limits)  # before the options were objects


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    work()
