"""Joint programs of networks with the layers of ACAS Xu's.

These are 5 inputs, six times 50 units, and 5 outputs.

Run: python -m oamip_benchmarks.measures.layers.six_layers --time-limit 60

They are trained on made-up costs of five manoeuvres, which depend on distance, angles and speeds as those of ACAS Xu
do. Costs have the units of ACAS Xu's .nnet files, (score - 7.5188840201005975) / 373.94992, which their headers state.
So far from a collision they lie near -0.02, a few thousandths apart. A logit is a cost with its sign changed, so that
the largest one belongs to the manoeuvre that is chosen.

Weights are those of a short training (``trained``), or begin as large as those of a public file (``rough``). In
ACASXU_run2a_1_2_batch_2000.nnet of Marabou's repository weights between hidden layers deviate by some 0.6, single ones
reach 9, and those of the last layer are hundredths. Weights may be left random, too (``random``).

``--scale`` multiplies the last layer, and ``--standardised`` trains on costs of mean 0 and deviation 1. ``--draw`` and
``--seed`` choose other inputs and other trainings. ``--near`` takes the inputs among the 2 % whose costs differ most.
"""

from __future__ import annotations

import argparse
import math
import time
from copy import deepcopy
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import oamip_model as om
from oamip_model.errors import OamipError

MEAN, RANGE = 7.5188840201005975, 373.94992
"""Of the outputs, in the headers of ACAS Xu's files."""
TURNS = (0.0, 15.0, -15.0, 30.0, -30.0)
"""Degrees by which each manoeuvre turns."""
DEVIATION = 0.6
"""Deviation of the rough networks' weights between hidden layers, before they are trained."""
_NEAR = 0.98
"""Quantile of the differences of costs from which an input is near a collision."""
PROGRAMS: dict[str, tuple[om.Joint, str]] = {
    "default": (om.Joint(), "highs"),
    "default, cbc": (om.Joint(), "cbc"),
    "solver": (om.Joint(search="solver", bounds="interval"), "highs"),
    "binary": (om.Joint(om.Formulation(scores="binary")), "highs"),
    "binary, switch": (om.Joint(om.Formulation(scores="binary", gate="switch")), "highs"),
    "binary, hinge": (om.Joint(om.Formulation(scores="binary", loss="hinge", margin=0.01, sparsity="mean")), "highs"),
    "relaxed": (om.Joint(om.Formulation(relaxed=True)), "highs"),
    "relaxed, crown": (om.Joint(om.Formulation(relaxed=True), bounds="crown"), "highs"),
    "published": (om.Joint(om.Formulation(gate="published")), "highs"),
}


def costs(x: Tensor) -> Tensor:
    """The costs of the manoeuvres for inputs (n, 5) in [-0.5, 0.5].

    They are in ACAS Xu's units. They are high where the paths come close soon, and a little higher for each turn.
    """
    distance, angle, heading, mine, other = x.T
    distance = distance + 0.5
    along, across = distance * torch.cos(2 * math.pi * angle), distance * torch.sin(2 * math.pi * angle)
    found = []
    for turn in TURNS:
        course = torch.tensor(math.radians(turn))
        right = (other + 0.6) * torch.cos(2 * math.pi * heading) - (mine + 0.6) * torch.cos(course)
        up = (other + 0.6) * torch.sin(2 * math.pi * heading) - (mine + 0.6) * torch.sin(course)
        until = (-(along * right + across * up) / (right**2 + up**2 + 0.05)).clamp(0, 2)
        nearest = (along + until * right) ** 2 + (across + until * up) ** 2
        alert = 0.5 + abs(turn) / 60 if turn else 0.0
        found.append(RANGE * torch.exp(-nearest / 0.02**2 - until) + alert)
    return (torch.stack(found, 1) - MEAN) / RANGE


def untrained(seed: int = 0, width: int = 50, weights: str = "trained") -> nn.Sequential:
    """The network before it is trained.

    Random weights are such that activations keep their size. Rough ones have Student's t-distribution.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    parts: list[nn.Module] = []
    sizes = [5] + [width] * 6 + [5]
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        layer = nn.Linear(inputs, outputs)
        if weights == "random":
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / inputs))
            nn.init.normal_(layer.bias, 0.0, 0.1)
        elif weights == "rough" and 0 < number < 6:
            drawn = random.standard_t(3, (outputs, inputs)) / math.sqrt(3) * DEVIATION
            layer.weight.data = torch.as_tensor(drawn, dtype=torch.float32)
            nn.init.normal_(layer.bias, 0.0, 0.3)
        elif weights == "rough" and number == 6:
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.constant_(layer.bias, -MEAN / RANGE)
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1]).eval()


def trained(seed: int = 0, width: int = 50, weights: str = "trained", standardised: bool = False) -> nn.Sequential:
    """The network, after 60 rounds over 20,000 random inputs."""
    module = untrained(seed, width, weights)
    x = torch.rand(20_000, 5) - 0.5
    wanted = costs(x)
    if standardised:
        wanted = (wanted - wanted.mean()) / wanted.std()
    most = 1e-3 if weights == "rough" else 3e-3
    optimiser = torch.optim.Adam(module.parameters(), most)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, most, total_steps=60 * 40)
    for _ in range(60):
        for batch in torch.randperm(len(x)).reshape(40, 500):
            loss = ((module(x[batch]) - wanted[batch]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            rates.step()
    return module.eval()


def preferring(module: nn.Sequential, scale: float = 1.0) -> nn.Sequential:
    """The network whose logits are the costs with their sign changed, times ``scale``."""
    last = module[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        for part in (last.weight, last.bias):
            part.mul_(-scale)
    return module


def inputs(network: om.Network, draw: int, near: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Three inputs with the network's manoeuvres, of three kinds where there are."""
    x = np.random.default_rng(draw).uniform(-0.5, 0.5, (2000, 5))
    logits = network.replay(x)
    if near:
        spread = np.ptp(logits, axis=1)
        kept = spread >= np.quantile(spread, _NEAR)
        x, logits = x[kept], logits[kept]
    labels = logits.argmax(axis=1)
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:3]]
    first = (first + [row for row in range(3) if row not in first])[:3]
    return x[first], labels[first]


def line(name: str, network: om.Network, x: NDArray[np.float64], y: NDArray[np.int64], limit: float) -> str:
    """A line of the table: what a program of three inputs proved."""
    method, solver = PROGRAMS[name]
    began = time.process_time()
    try:
        solved = om.score(network, x, y, method, solver=om.Solver(solver, time_limit=limit))
    except OamipError as error:
        return f"{name:<16} {error}"
    (program,) = solved.programs
    seconds = time.process_time() - began
    agreed = {True: "yes", False: "no", None: "-"}[program.replay.passed if program.replay else None]
    return f"{name:<16} {program.status:<9} {program.objective:10.5f} {program.bound:10.5f} {agreed:>6} {seconds:7.1f}"


def main() -> None:
    """Print a line for each program of each network and each draw of inputs."""
    parser = argparse.ArgumentParser(description="Joint programs of networks like those of ACAS Xu.")
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--program", choices=PROGRAMS, action="append")
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--seed", type=int, action="append", help="of the training")
    parser.add_argument("--draw", type=int, action="append", help="of the inputs")
    parser.add_argument("--weights", choices=("trained", "rough", "random"), default="trained")
    parser.add_argument("--scale", type=float, action="append", help="of the last layer")
    parser.add_argument("--standardised", action="store_true", help="costs of mean 0 and deviation 1")
    parser.add_argument("--near", action="store_true", help="inputs near a collision")
    options = parser.parse_args()
    print("seed  scale draw spread program          status     objective      bound replay   CPU s")
    for seed in options.seed or [0]:
        if options.weights == "random":
            module = untrained(seed, options.width, "random")
        else:
            module = trained(seed, options.width, options.weights, options.standardised)
        for scale, draw in product(options.scale or [1.0], options.draw or [7]):
            network = om.read_network(preferring(deepcopy(module), scale))
            x, y = inputs(network, draw, options.near)
            spread = np.ptp(network.replay(x), axis=1).max()
            for name in options.program or PROGRAMS:
                told = line(name, network, x, y, options.time_limit)
                print(f"{seed:>4} {scale:>6g} {draw:>4} {spread:6.4f} {told}", flush=True)


if __name__ == "__main__":
    main()
