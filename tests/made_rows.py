"""Rows of runs that never were: known times and endings, for the tests of what is made of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def row(instance: str = "a", seconds: float | None = 1.0, status: str = "optimal", **more: Any) -> Row:
    """One row; by default solved by highs in a second, with a limit of 60."""
    without = ("no solution", "timeout", "crash", "memory", "error", "infeasible", "licence")
    objective = None if status in without else 1.0
    plain: Row = {
        "instance": instance, "size": "small", "network": "dense", "gate": "subtractive", "relaxation": "big-m",
        "bounds": "interval", "scores": "continuous", "images": 4, "loss": "hinge", "strategy": "joint",
        "solver": "highs", "version": "1", "seed": 0, "threads": 1, "time_limit": 60.0, "status": status,
        "objective": objective, "bound": None if objective is None else 1.0, "gap": None if objective is None else 0.0,
        "nodes": 10, "build_seconds": 0.1, "bounds_seconds": 0.0, "wall_seconds": seconds, "solver_seconds": seconds,
        "peak_memory_mib": 200.0, "trace": None, "primal_dual_integral": None, "parallel": False,
        "check": None if objective is None else {"passed": True, "violation": 0.0, "message": ""}, "message": "",
        "started": "2026-01-02T03:04:05+00:00", "load": [1.2, 1.4], "log": None,
    }  # fmt: skip
    plain |= more
    return {"key": "-".join(str(plain[n]) for n in ("instance", "solver", "bounds", "relaxation", "seed"))} | plain


def run_rows(solvers: tuple[str, ...] = ("highs", "cbc", "scip"), instances: int = 24, seeds: int = 2) -> list[Row]:
    """Rows of a whole run with all kinds of endings, by random numbers."""
    draw = np.random.default_rng(7)
    rows = []
    for k in range(instances):
        size = ("small", "medium", "large")[3 * k // instances]
        hard = {"small": 0.5, "medium": 12.0, "large": 70.0}[size] * np.exp(draw.normal(scale=0.8))
        for seed in range(seeds):
            for number, solver in enumerate(solvers):
                name = f"digits-{size}-{k:02d}"
                more = {"size": size, "solver": solver, "seed": seed, "version": f"{number}.1"}
                seconds = float(hard * (1 + number) * np.exp(draw.normal(scale=0.5)))
                ends = np.array([0.3, 1.0]) * min(seconds, 60.0)
                trace = [[float(t), 1 + g, 1 - g] for t, g in zip(ends, (0.4, 0.1), strict=True)]
                more |= {"trace": None if solver == "cbc" else trace, "gate": ("subtractive", "switch")[k % 2]}
                more |= {"log": f"logs/{len(rows):x}.log"}
                if seconds <= 60:
                    rows.append(row(name, seconds, **more))
                elif draw.random() < 0.2:
                    rows.append(row(name, 65.0, ("timeout", "crash", "memory")[k % 3], **more | {"trace": None}))
                else:
                    gap = float(draw.uniform(0.01, 0.5))
                    rows.append(row(name, 60.2, "feasible", **more, gap=gap, objective=1 + gap / 2, bound=1 - gap / 2))
    return rows


def write_run(folder: Path, rows: list[Row]) -> Path:
    """A run folder with these rows."""
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    machine = {"machine": "a test", "cores": 2, "python": "3.11", "revision": "none"}
    for made in (r for r in rows if r.get("log")):
        (folder / "logs").mkdir(exist_ok=True)
        (folder / made["log"]).write_text("a log\n")
    (folder / "environment.json").write_text(json.dumps(machine))
    return folder
