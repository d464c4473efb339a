"""Measures build, hand-over and solve time against other modelling tools.

They all put trained networks into mixed-integer programs.

Run: python -m oamip_benchmarks.measures.peers build [--images 2] [--repeats 3] [--tool gurobi-machinelearning]
     python -m oamip_benchmarks.measures.peers solve [--tasks 10] [--time-limit 120]

The task is the same for all: the largest value of one logit over a small box around an image (see box.py). ``build``
takes a 784-300-100-10 network, one model an image: CPU seconds from the network in memory to a solver that holds the
model. There this package appears twice: with interval bounds, which the plain builders and OMLT have as well, and with
crown bounds, which take more time and make a smaller program. Pyomo models of every tool are given
to HiGHS in the way that is quickest here, by ``om.compile_arrays``. ``solve`` takes small trained
networks, and the same HiGHS with the same
options for each model. Needs the extra peers.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import statistics
import time
from collections.abc import Callable

import highspy
import numpy as np
import torch
from torch import nn

import oamip_model as om
from oamip_benchmarks import peers_models as models
from oamip_benchmarks.bench.boxes.model import Box
from oamip_benchmarks.bench.reporting.statistics import counted, shifted_geometric_mean
from oamip_benchmarks.measures.build_handover import load
from oamip_model.solving.protocol import Options

PYOMO: dict[str, Callable[[models.Task], object]] = {
    "ours": models.ours, "OMLT, big-M": models.omlt_big_m, "plain Pyomo": models.plain_pyomo,
}  # fmt: skip
"""Those whose models HiGHS solves."""
INTERVAL = "ours, interval bounds"
BUILDERS = PYOMO | {
    INTERVAL: models.ours_interval, "gurobi-machinelearning": models.gurobi_ml, "PySCIPOpt-ML": models.pyscipopt_ml,
    "bare numpy": models.bare_numpy,
}  # fmt: skip
GAP = 1e-6


def dense(sizes: list[int], images: np.ndarray, labels: np.ndarray, seed: int, epochs: int) -> nn.Sequential:
    """A dense ReLU network of these sizes, trained on flat images."""
    torch.manual_seed(seed)
    steps: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        steps += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*steps[:-1])
    om.train(module, images, labels, epochs=epochs, seed=seed, threads=1)
    return module.eval()


def small_images(images: np.ndarray) -> np.ndarray:
    """Images (n, 1, 28, 28) as the means of 4 x 4 pixels, flat: (n, 49)."""
    return np.asarray(images.reshape(len(images), 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), 49))


def handed_over(name: str, task: models.Task) -> object:
    """The loaded solver of one tool."""
    model = BUILDERS[name](task)
    return load(om.compile_arrays(model)) if name in PYOMO or name == INTERVAL else model


def build_times(tasks: list[models.Task], repeats: int, tools: list[str]) -> dict[str, float]:
    """CPU seconds of each tool for all tasks, the median of the repeats.

    The tools take turns.
    """
    taken: dict[str, list[float]] = {name: [] for name in tools}
    for repeat in range(repeats + 1):
        for name in tools:
            # Each pays for its own garbage only.
            gc.collect()
            began = time.process_time()
            kept = [handed_over(name, task) for task in tasks]
            # The first round loads modules.
            if repeat:
                taken[name].append(time.process_time() - began)
            del kept
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def solve_task(name: str, task: models.Task, limit: float) -> tuple[float, float, bool, float | None, int | None]:
    """Seconds, answer and nodes of HiGHS for one tool's Pyomo model.

    Returns
    -------
    tuple
        Seconds in all, seconds in HiGHS, whether solved, the largest logit, and nodes.
    """
    began = time.perf_counter()
    arrays = om.compile_arrays(PYOMO[name](task))
    found = om.get_backend("highs").solve(arrays, Options(time_limit=limit, gap=GAP, threads=1, seed=0))
    seconds = time.perf_counter() - began
    value = None if found.objective is None else -found.objective
    return seconds, found.seconds, found.status == "optimal", value, found.nodes


def build(images: int, repeats: int, tools: list[str]) -> None:
    """Print each tool's build and hand-over time, and its ratio to ours.

    Ours has interval bounds.
    """
    data = om.load_dataset("fashion-mnist-2000", split="train")
    flat = data.images.reshape(len(data.images), -1)
    module = dense([784, 300, 100, 10], flat, data.labels, seed=0, epochs=3)
    network = om.read_network(module, input_shape=(784,))
    tasks = [models.Task(module, network, Box.around(flat[k], 0.01, 0)) for k in range(images)]
    times = build_times(tasks, repeats, list(dict.fromkeys([INTERVAL, *tools])))
    print(f"784-300-100-10, boxes of half width 0.01 around {images} images; median of {repeats}; HiGHS "
          f"{highspy.Highs().version()}")  # fmt: skip
    for name, seconds in sorted(times.items(), key=lambda entry: entry[1]):
        print(
            f"{name:>24}: {seconds:8.3f} s of CPU, {seconds / times[INTERVAL]:7.2f} times ours with interval bounds",
            flush=True,
        )


def solve(count: int, hidden: list[int], radius: float, limit: float) -> None:
    """Print the solve time of each Pyomo tool on each task, and the ratio of means.

    They are shifted geometric means.
    """
    data = om.load_dataset("fashion-mnist-2000", split="train")
    flat = small_images(data.images)
    tasks = []
    for seed in range(count):
        module = dense([49, *hidden, 10], flat, data.labels, seed, epochs=20)
        label = int(data.labels[seed])
        network = om.read_network(module, input_shape=(49,))
        tasks.append(models.Task(module, network, Box.around(flat[seed], radius, (label + 1) % 10)))
    taken: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in PYOMO}
    for number, task in enumerate(tasks):
        values = {}
        for name in PYOMO:
            seconds, inside, solved, value, nodes = solve_task(name, task, limit)
            taken[name].append((seconds, inside, solved))
            if solved and value is not None:
                values[name] = value
            print(f"task {number} {name:>12}: {inside:7.2f} s in HiGHS, {nodes} nodes, largest {value}", flush=True)
        if values and max(values.values()) - min(values.values()) > 1e-4 * max(1.0, *map(abs, values.values())):
            raise om.CheckError(f"task {number}: the tools disagree, {values}")
    sizes = "-".join(map(str, hidden))
    print(
        f"49-{sizes}-10, half width {radius}, {count} tasks, gap {GAP:g}, limit {limit:g} s, which counts if unsolved"
    )
    means = {}
    for name, rows in taken.items():
        done, limits = [row[2] for row in rows], [limit] * len(rows)
        means[name] = [shifted_geometric_mean(counted([row[k] for row in rows], done, limits), 1.0) for k in (0, 1)]
        whole, inside = (mean / ours for mean, ours in zip(means[name], means["ours"], strict=True))
        print(
            f"{name:>12}: solved {sum(done)} of {count}; {means[name][1]:.3f} s in HiGHS ({inside:.2f} times ours), "
            f"{means[name][0]:.3f} s with building ({whole:.2f})"
        )


def main() -> None:
    """Run one of the two comparisons."""
    parser = argparse.ArgumentParser(description="Against other tools.")
    parser.add_argument("part", choices=["build", "solve"])
    parser.add_argument("--images", type=int, default=2, help="of build")
    parser.add_argument("--repeats", type=int, default=3, help="of build")
    parser.add_argument("--tool", action="append", choices=list(BUILDERS), help="of build: only these; repeat")
    parser.add_argument("--tasks", type=int, default=10, help="of solve")
    parser.add_argument("--hidden", type=int, action="append", help="of solve: units of a hidden layer; repeat")
    parser.add_argument("--radius", type=float, default=0.05, help="of solve: half width of the box")
    parser.add_argument("--time-limit", type=float, default=120.0, help="of solve")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    # OMLT starts its pixels at 0, which may be outside the box; Pyomo would say so for each.
    logging.getLogger("pyomo").setLevel(logging.ERROR)
    if asked.part == "build":
        build(asked.images, asked.repeats, asked.tool or list(BUILDERS))
    else:
        solve(asked.tasks, asked.hidden or [32, 32], asked.radius, asked.time_limit)


if __name__ == "__main__":
    main()
