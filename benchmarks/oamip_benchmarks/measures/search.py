"""Measures the search of this package against big-M rows in a solver's own tree.

Run: python -m oamip_benchmarks.measures.search [--part gap] [--part time] [--data fashion-mnist] [--solver highs]
     [--seed 0]
     [--gap-images 4] [--gap-seconds 150] [--gap-epochs 15] [--time-network dense-20-10 --time-network dense-32-16]
     [--time-seed 0 --time-seed 1] [--time-images 2 --time-images 4] [--choices 3] [--limit 120]

Both sides solve the same program (gate subtractive, continuous scores, weight 5, sparsity mean, gap
1e-4, one thread). The times of bounds, heuristic, build and solve count on both. Plain: big-M rows,
interval bounds,
the solver's own tree, no heuristic. Ours: search="tree" and its defaults. Networks are trained here.

Part "gap": 784-300-100-10 and 4 images; the relative gap of each side when its time is over, and their ratio.
Part "time": small networks, several choices of images. The programs are those that plain solves
within the limit. It gives seconds of each side, and the ratio of the shifted geometric means (shift
1 s). A bound of one side above the objective of the
other is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

import oamip_model as om
from oamip_model.scoring.asked import as_objects

TOLERANCE = 1e-4
SIDES: dict[str, dict[str, Any]] = {
    "plain": {"search": "solver", "relaxation": "big-m", "bounds": "interval", "heuristic": False},
    "ours": {"search": "tree"},
}


@dataclass(frozen=True)
class Run:
    """One side's solve of one program."""

    objective: float | None
    bound: float | None
    gap: float | None
    nodes: int | None
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether the gap was closed."""
        return self.gap is not None and self.gap <= TOLERANCE

    def line(self) -> str:
        """The result in words."""
        gap = "unknown" if self.gap is None else f"{self.gap:.2%}"
        numbers = [f"{value:.6f}" if value is not None else "none" for value in (self.objective, self.bound)]
        return f"objective {numbers[0]}, bound {numbers[1]}, gap {gap}, {self.nodes} nodes, {self.seconds:.2f} s"


def main() -> int:
    """Print both comparisons; returns the exit code."""
    parser = argparse.ArgumentParser(description="The search against plain big-M rows.")
    parser.add_argument("--part", choices=("gap", "time"), action="append")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--seed", type=int, default=0, help="of the network and the images of the part gap")
    parser.add_argument("--gap-network", default="fc3")
    parser.add_argument("--gap-images", type=int, default=4)
    parser.add_argument("--gap-seconds", type=float, default=150.0)
    parser.add_argument("--gap-epochs", type=int, default=15)
    parser.add_argument("--time-network", action="append")
    parser.add_argument("--time-seed", type=int, action="append")
    parser.add_argument("--time-images", type=int, action="append")
    parser.add_argument("--time-epochs", type=int, default=3)
    parser.add_argument("--choices", type=int, default=3, help="choices of images for each network and count")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each program of the part time")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    wrong = 0
    if "gap" in (asked.part or ["gap", "time"]):
        network = trained(asked.gap_network, asked.seed, asked.gap_epochs, train, test)
        images = om.choose_images(train, n=asked.gap_images, seed=asked.seed)
        runs = {side: solve(network, images, side, asked.solver, asked.gap_seconds) for side in SIDES}
        for side, run in runs.items():
            print(f"  {side}: {run.line()}", flush=True)
        plain, ours = runs["plain"].gap, runs["ours"].gap
        if plain and ours is not None:
            print(f"gap of ours over gap of plain: {ours / plain:.2f}", flush=True)
        wrong += disagree(runs)
    if "time" in (asked.part or ["gap", "time"]):
        wrong += times(asked, train, test)
    return 1 if wrong else 0


def trained(name: str, seed: int, epochs: int, train: om.Dataset, test: om.Dataset) -> om.Network:
    """A network trained on all training images."""
    shape = train.images.shape[1:]
    module = om.make_network(name, input_shape=shape, seed=seed)
    om.train(module, train.images, train.labels, epochs=epochs, seed=seed, threads=1)
    print(f"{name}, seed {seed}: test accuracy {om.accuracy(module, *test):.4f}", flush=True)
    return om.read_network(module, input_shape=shape)


def solve(network: om.Network, images: om.Dataset, side: str, solver: str, limit: float) -> Run:
    """One side's solve, all of it timed."""
    began = time.perf_counter()
    scores = om.score(
        network,
        images,
        **as_objects(
            strategy="joint",
            sparsity="mean",
            weight=5.0,
            tolerance=TOLERANCE,
            solver=solver,
            threads=1,
            time_limit=limit,
            **SIDES[side],
        ),
    )
    seconds = time.perf_counter() - began
    program = scores.programs[0]
    if program.replay is None or not program.replay.passed:
        print(f"  {side}: the replay check failed", flush=True)
    return Run(program.objective, program.bound, program.gap, program.nodes, seconds)


def disagree(runs: dict[str, Run]) -> bool:
    """Whether one side's bound passes the other's objective, which no optimum can."""
    for one, other in (("plain", "ours"), ("ours", "plain")):
        bound, objective = runs[one].bound, runs[other].objective
        if bound is not None and objective is not None and bound > objective + 1e-6 * max(1.0, abs(objective)):
            print(f"  WRONG: the bound of {one}, {bound:.8f}, is above the objective of {other}, {objective:.8f}")
            return True
    return False


def shifted_mean(seconds: list[float], shift: float = 1.0) -> float:
    """Shifted geometric mean.

    Examples
    --------
    >>> round(shifted_mean([1.0, 7.0]), 6)
    3.0
    """
    return float(np.exp(np.mean(np.log(np.array(seconds) + shift))) - shift)


def times(asked: argparse.Namespace, train: om.Dataset, test: om.Dataset) -> int:
    """Print the part "time"; returns how many programs the two sides disagree on."""
    both: list[tuple[Run, Run]] = []
    wrong = unsolved = 0
    names, seeds = asked.time_network or ["dense-20-10", "dense-32-16"], asked.time_seed or [0, 1]
    for name, seed in product(names, seeds):
        network = trained(name, seed, asked.time_epochs, train, test)
        for count, choice in product(asked.time_images or [2, 4], range(asked.choices)):
            images = om.choose_images(train, n=count, seed=choice)
            runs = {side: solve(network, images, side, asked.solver, asked.limit) for side in SIDES}
            print(f"  {count} images, choice {choice}", flush=True)
            for side, run in runs.items():
                print(f"    {side}: {run.line()}", flush=True)
            wrong += disagree(runs)
            unsolved += not runs["plain"].solved
            if runs["plain"].solved:
                both.append((runs["plain"], runs["ours"]))
    late = sum(not ours.solved for _, ours in both)
    print(f"{len(both)} programs solved by plain, {unsolved} not; of the former {late} not solved by ours")
    if both:
        plain, ours = (shifted_mean([pair[k].seconds for pair in both]) for k in (0, 1))
        print(f"shifted geometric means: plain {plain:.2f} s, ours {ours:.2f} s, ratio {plain / ours:.1f}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
