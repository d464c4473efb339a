"""The search "auto" against both ways, with own rows and with the loss "hinge".

Run: python -m oamip_benchmarks.measures.search_choice [--network dense-20-10 --network dense-32-16] [--seed 0 --seed 1]
     [--data fashion-mnist-2000] [--solver highs] [--limit 60] [--repeats 2] [--programs 20]

Both ways solve the same program: gate subtractive, weight 5, sparsity mean, gap 1e-4, one thread. One is the solver's
own tree on big-M rows, the other the tree of this package with hull cuts. Seconds are of the processor, with building.
Each program is solved as often as ``--repeats`` says, and the quickest counts. The exit code is 1 where the way that
"auto" chooses takes more than 1.2 times as long as the better one. It is 1 as well where the two disagree, or the
chosen way alone does not solve the program within the limit.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
import torch

import oamip_model as om
from oamip_benchmarks.measures.search import TOLERANCE, trained

MOST = 1.2
"""Times the better way's seconds that the chosen one may take."""
_TINY = 0.05
"""Seconds of the processor by which two ways may differ and count as alike: those of the machine's clock."""


def budget(m: Any) -> None:
    """At most half of all scores."""
    m.own = pyo.Constraint(expr=pyo.quicksum(m.s.values()) <= 0.5 * len(m.s))


def layers(m: Any) -> None:
    """At most half of the scores of each layer."""
    units = {g: [u for u in m.s if u[0] == g] for g in m.GROUP}
    m.own = pyo.Constraint(list(units), rule=lambda m, g: sum(m.s[u] for u in units[g]) <= 0.5 * len(units[g]))


def pairs(m: Any) -> None:
    """Every two units have the same score."""
    units = list(m.s)
    m.own = pyo.ConstraintList()
    for one, other in zip(units[::2], units[1::2], strict=False):
        m.own.add(m.s[one] == m.s[other])


def count(m: Any) -> None:
    """At most a third of the units have a score.

    Binary variables of the user's count them.
    """
    m.used = pyo.Var(m.UNIT, within=pyo.Binary)
    m.link = pyo.Constraint(m.UNIT, rule=lambda m, *u: m.s[u] <= m.used[u])
    m.own = pyo.Constraint(expr=pyo.quicksum(m.used.values()) <= len(m.s) // 3)


def held(m: Any) -> None:
    """The first image keeps a margin of 0.5 in its logits."""
    label = int(m.label_array.value[0])
    m.own = pyo.Constraint(
        m.CLASS, rule=lambda m, c: pyo.Constraint.Skip if c == label else m.o[0, label] >= m.o[0, c] + 0.5
    )


Rows = Callable[[Any], None]
PROGRAMS: tuple[tuple[Rows | None, str, str], ...] = (
    (budget, "cross-entropy", "continuous"),
    (budget, "cross-entropy", "binary"),
    (None, "hinge", "continuous"),
    (None, "hinge", "binary"),
    (layers, "hinge", "binary"),
    (pairs, "cross-entropy", "continuous"),
    (count, "cross-entropy", "continuous"),
    (budget, "hinge", "continuous"),
    (count, "hinge", "continuous"),
    (held, "cross-entropy", "binary"),
)


@dataclass(frozen=True)
class Found:
    """One way's solve: seconds of the processor, objective and bound."""

    seconds: float
    objective: float | None
    bound: float | None
    solved: bool
    nodes: int | None

    def line(self) -> str:
        """Seconds and nodes, in words."""
        return f"{self.seconds:.2f} s{'' if self.solved else ' (open)'} {self.nodes} nodes"


def solve(network: om.Network, images: om.Dataset, rows: Rows | None, method: om.Joint, solver: om.Solver) -> Found:
    """Build a program, add a user's rows, and solve it as the method says."""
    began = time.process_time()
    instance = om.build_instance(network, images, formulation=method.formulation)
    if rows is not None:
        rows(instance)
    assert method.search is not None
    found = om.solve_instance(instance, solver, search=method.search)
    seconds = time.process_time() - began
    return Found(seconds, found.objective, found.bound, found.status.value == "optimal", found.nodes)


def best(runs: list[Found]) -> Found:
    """The quickest of the runs that solved the program, else the first."""
    return min(runs, key=lambda run: (not run.solved, run.seconds))


def main() -> int:
    """Print both ways' seconds on each program; returns the exit code."""
    parser = argparse.ArgumentParser(description='The search "auto" against both ways.')
    parser.add_argument("--network", action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each solve")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--programs", type=int, default=20, help="how many, from the first")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    solver = om.Solver(asked.solver, time_limit=asked.limit, tolerance=TOLERANCE)
    wrong, ratios = 0, []
    networks = itertools.product(asked.network or ["dense-20-10", "dense-32-16"], asked.seed or [0, 1])
    known = [(trained(name, seed, asked.epochs, train, test), seed) for name, seed in networks]
    # Every other network for each program, so that twenty have every kind.
    tasks = [(network, seed, *program) for k, program in enumerate(PROGRAMS) for network, seed in known[k % 2 :: 2]]
    for number, (network, seed, rows, loss, scores) in enumerate(tasks[: asked.programs]):
        images = om.choose_images(train, n=asked.images, seed=seed)
        form = om.Formulation(loss=loss, scores=scores, sparsity="mean")
        ways = {name: om.Joint(form, search=name) for name in ("solver", "tree", "auto")}
        chosen = "solver" if ways["auto"].search == "solver" else "tree"
        runs: dict[str, list[Found]] = {"solver": [], "tree": []}
        for _ in range(asked.repeats):
            for name, taken in runs.items():
                if not taken or taken[-1].solved:
                    taken.append(solve(network, images, rows, ways[name], solver))
        found = {name: best(taken) for name, taken in runs.items()}
        mine, least = found[chosen], min(one.seconds for one in found.values() if one.solved or one is found[chosen])
        ratio = 1.0 if mine.seconds - least < _TINY else mine.seconds / least
        late = not mine.solved and any(one.solved for one in found.values())
        ratios.append(ratio)
        wrong += ratio > MOST or late or disagree(found)
        kind = "none" if rows is None else rows.__name__
        told = ", ".join(f"{name} {run.line()}" for name, run in found.items())
        print(f"{number + 1}: rows {kind}, {loss}, {scores}: {told}; auto is {chosen}, {ratio:.2f}", flush=True)
    print(f"{len(ratios)} programs, largest ratio {max(ratios):.2f}; {wrong} wrong", flush=True)
    return 1 if wrong else 0


def disagree(found: dict[str, Found]) -> bool:
    """Whether one way's bound passes the other's objective, which no optimum can."""
    for one, other in itertools.permutations(found.values()):
        if one.bound is None or other.objective is None:
            continue
        if one.bound > other.objective + 1e-6 * max(1.0, abs(other.objective)):
            print(f"  WRONG: a bound of {one.bound:.8f} is above an objective of {other.objective:.8f}")
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
