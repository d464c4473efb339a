"""Claims against brute force, over scales of weights from 1e-8 to 1e8.

Run: python -m oamip_benchmarks.measures.scales [--programs 2000] [--seed 0] [--solver highs --solver cbc --solver scip]
     [--gate subtractive --gate switch] [--search solver --search tree] [--kind dense ...] [--largest 8] [--limit 20]
     [--listed 0] [--seconds 300]

Every program is a tiny network with binary scores, so that all masks can be tried. Its layers are multiplied by
factors: all by one, or each layer by one of its own. A dual bound above the value of some mask is refuted. So is an
optimum that a mask beats by more than the tolerance, and an objective that its own scores do not
have. Each refuted program is printed, and tables of how the programs ended. One is by solver,
search and the power of ten of the factor that is farthest from 1. The other is by kind and gate.
The exit code is 1 where one was refuted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import oamip_model as om
from oamip_model.errors import SolverError
from oamip_model.formulation import cross_entropy
from oamip_model.network import Network, read_network
from oamip_model.solving import gated_logits
from oamip_model.solving.proofs import claims

WEIGHT = 5.0
TOLERANCE = 1e-4
ROUNDING = 1e-6
"""Relative difference of two values up to which they are the same."""


class Residual(nn.Module):
    """Two dense layers, the second with the first's output added."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.o = (nn.Linear(3, 3) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 3) of images x (n, 3)."""
        x = self.a(x).relu()
        logits: torch.Tensor = self.o((self.c(self.b(x).relu()) + x).relu())
        return logits


def make_dense() -> tuple[nn.Module, tuple[int, ...]]:
    """A dense network of seven units."""
    layers = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)
    return nn.Sequential(*layers), (3,)


def make_residual() -> tuple[nn.Module, tuple[int, ...]]:
    """A residual network of six units, which share three scores twice."""
    return Residual(), (3,)


def make_conv() -> tuple[nn.Module, tuple[int, ...]]:
    """A convolutional network with max pooling, two filters and three units."""
    layers = (
        nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2, stride=1), nn.Flatten(), nn.Linear(8, 3), nn.ReLU(),
        nn.Linear(3, 2),
    )  # fmt: skip
    return nn.Sequential(*layers), (1, 4, 4)


KINDS = {"dense": make_dense, "residual": make_residual, "conv": make_conv}


@dataclass(frozen=True)
class Problem:
    """A network with images and labels, and the least value of all masks.

    Parameters
    ----------
    network : Network
        The network.
    x : Array
        Images, (n, *input_shape).
    y : Array
        Labels, (n,).
    best : float
        The least value.
    """

    network: Network
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    best: float

    def value(self, scores: dict[str, NDArray[np.float64]]) -> float:
        """Weighted loss plus mean score of binary scores, by the network's forward pass."""
        return value_of(self.network, self.x, self.y, scores)


def value_of(
    network: Network, x: NDArray[np.float64], y: NDArray[np.int64], scores: dict[str, NDArray[np.float64]]
) -> float:
    """Weighted loss plus mean score of binary scores {group: (units,)}."""
    logits = gated_logits(network, x, scores, "switch")
    return float(WEIGHT * cross_entropy(logits, y).mean() + np.concatenate(list(scores.values())).mean())


def make_problem(kind: str, factors: tuple[float, ...], seed: int, images: int) -> Problem:
    """A random network of this kind, its layers multiplied by the factors in turn.

    The factors multiply weights and biases.
    """
    torch.manual_seed(seed)
    module, shape = KINDS[kind]()
    module = module.double().eval()
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for k, layer in enumerate(layers):
            for p in layer.parameters():
                p.copy_(torch.randn(p.shape, dtype=torch.float64) * factors[k % len(factors)])
        last = layers[-1].bias
        assert last is not None
        last.copy_(torch.randn(last.shape, dtype=torch.float64))
    network = read_network(module, input_shape=shape)
    pick = np.random.default_rng(seed)
    x = pick.random((images, *shape))
    y = pick.integers(network.classes, size=images)
    sizes = {group.name: group.size for group in network.groups}
    splits = np.cumsum(list(sizes.values()))[:-1]
    best = min(
        value_of(network, x, y, dict(zip(sizes, np.split(np.array(bits, dtype=np.float64), splits), strict=True)))
        for bits in product((0, 1), repeat=sum(sizes.values()))
    )
    return Problem(network, x, y, best)


def faults(problem: Problem, found: om.Scores) -> list[str]:
    """What a mask, or the scores themselves, refute of a result."""
    slack = ROUNDING * max(1.0, abs(problem.best))
    told = []
    if found.bound is not None and found.bound > problem.best + slack:
        told.append(f"bound {found.bound!r} above {problem.best!r}")
    if found.proved and found.objective is not None:
        most = problem.best + TOLERANCE * max(abs(problem.best), abs(found.objective)) + slack
        if found.objective > most:
            told.append(f"proved {found.objective!r}, but a mask is worth {problem.best!r}")
    if found.objective is not None:
        own = problem.value(found.by_layer)
        if abs(own - found.objective) > ROUNDING * max(1.0, abs(own)):
            told.append(f"objective {found.objective!r}, but its scores are worth {own!r}")
    return told


def main() -> int:
    """Solve the programs, print those that are refuted and how all ended."""
    arguments = _arguments()
    pick = np.random.default_rng(arguments.seed)
    claims.LISTED = arguments.listed
    ways = list(product(arguments.kind, arguments.solver, arguments.gate, arguments.search))
    table = Table()
    began = time.monotonic()
    for number in range(arguments.programs):
        if time.monotonic() - began > arguments.seconds:
            break
        kind, solver, gate, search = ways[number % len(ways)]
        power = pick.uniform(-arguments.largest, arguments.largest, size=4)
        one = pick.integers(3)
        # All layers by one factor, each by its own, or powers of ten.
        powers = np.full(4, power[0]) if one == 0 else power if one == 1 else np.round(power)
        factors = tuple(float(factor) for factor in 10.0**powers)
        seed, images = int(pick.integers(2**31)), int(pick.integers(1, 4))
        problem = make_problem(kind, factors, seed, images)
        shown = " ".join(f"{factor:.3g}" for factor in factors)
        what = f"{number}: {kind} {solver} {gate} {search} factors {shown} seed {seed} x {images}"
        places = f"{solver} {search}", f"{kind} {gate}"
        farthest = float(powers[np.abs(powers).argmax()])
        try:
            found = om.score(
                problem.network,
                problem.x,
                problem.y,
                method=om.Joint(
                    om.Formulation(scores="binary", sparsity="mean", weight=WEIGHT, gate=gate), search=search
                ),
                solver=om.Solver(solver, time_limit=arguments.limit),
            )
        except SolverError as error:
            table.count(places, farthest, "no scores")
            print(f"{what}: {error}", flush=True)
            continue
        told = faults(problem, found)
        table.count(places, farthest, "refuted" if told else "proved" if found.proved else "open")
        if told:
            print(f"REFUTED {what}: {'; '.join(told)} ({found.programs[0].message})", flush=True)
        elif arguments.verbose and not found.proved:
            print(f"{what}: {found.status}, gap {found.programs[0].gap}: {found.programs[0].message}", flush=True)
    table.show()
    print(f"{sum(table.ends.values())} programs, {table.ends['refuted']} refuted, {time.monotonic() - began:.0f} s")
    return 1 if table.ends["refuted"] else 0


ENDS = "proved", "open", "no scores", "refuted"
EDGES = -6.0, -3.0, -1.0, 1.0, 3.0, 6.0
"""Powers of ten between the columns of the table."""


class Table:
    """How programs ended, by place and by the factor farthest from 1.

    A place is a solver and search, or a kind and gate.
    """

    def __init__(self) -> None:
        self.cells: Counter[tuple[str, int, str]] = Counter()
        self.ends: Counter[str] = Counter()

    def count(self, places: tuple[str, ...], power: float, end: str) -> None:
        """Count one program, whose farthest factor is ten to the ``power``."""
        self.ends[end] += 1
        for place in (*places, "all"):
            self.cells[place, int(np.searchsorted(EDGES, power)), end] += 1

    def show(self) -> None:
        """Print "programs / not proved" and the ends, for each place and range of powers."""
        heads = [f"to 1e{EDGES[0]:+.0f}", *(f"1e{low:+.0f} to {high:+.0f}" for low, high in pairwise(EDGES))]
        heads.append(f"from 1e{EDGES[-1]:+.0f}")
        print("programs / not proved".ljust(24) + "".join(head.rjust(14) for head in [*heads, "all"]))
        for place in sorted({place for place, _, _ in self.cells}, key=lambda place: (place == "all", place)):
            shown = [self._cell(place, [column]) for column in range(len(heads))]
            print(place.ljust(24) + "".join(cell.rjust(14) for cell in [*shown, self._cell(place, range(len(heads)))]))
        print(", ".join(f"{self.ends[end]} {end}" for end in ENDS))

    def _cell(self, place: str, columns: Iterable[int]) -> str:
        total = {end: sum(self.cells[place, column, end] for column in columns) for end in ENDS}
        return f"{sum(total.values())} / {sum(total.values()) - total['proved']}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--largest", type=float, default=8.0, help="largest power of ten of a layer's factor")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for each program")
    parser.add_argument("--seconds", type=float, default=np.inf, help="seconds after which no program is begun")
    parser.add_argument(
        "--listed", type=int, default=claims.LISTED,
        help="choices of scores up to which the package tries all; 0 leaves proofs to solvers and to bounds of nodes",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="print the programs that end without a proof, too")
    lists = {"kind": list(KINDS), "solver": ["highs", "cbc", "scip"], "gate": ["subtractive", "switch"],
             "search": ["solver", "tree"]}  # fmt: skip
    for name, default in lists.items():
        parser.add_argument(f"--{name}", action="append", default=None, help=f"{', '.join(default)}; may be repeated")
    found = parser.parse_args()
    for name, default in lists.items():
        setattr(found, name, getattr(found, name) or default)
    return found


if __name__ == "__main__":
    sys.exit(main())
