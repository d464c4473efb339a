"""Joint programs of a network with the layers of ACAS Xu's.

These are 5 inputs, six times 50 units, and 5 outputs.

Run: python -m oamip_benchmarks.measures.layers.six_layers --time-limit 60

It is trained on made-up costs of five manoeuvres, which depend on distance, angles and speeds as those of ACAS Xu do.
Each program has the same three inputs, of three classes. ``--width`` gives the layers other numbers of units, and
``--random`` leaves the weights random, scaled so that activations keep their size.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
from torch import Tensor, nn

import oamip_model as om
from oamip_model.errors import OamipError

TURNS = (0.0, 15.0, -15.0, 30.0, -30.0)
"""Degrees by which each manoeuvre turns."""
PROGRAMS: dict[str, tuple[om.Formulation, str, str]] = {
    "relaxed, interval": (om.Formulation(relaxed=True), "interval", "solver"),
    "relaxed, crown": (om.Formulation(relaxed=True), "crown", "solver"),
    "as the command is called": (om.Formulation(), "interval", "solver"),
    "tree": (om.Formulation(), "crown", "tree"),
    "binary": (om.Formulation(scores="binary"), "crown", "solver"),
    "binary, switch, tree": (om.Formulation(scores="binary", gate="switch"), "crown", "tree"),
    "binary, hinge": (om.Formulation(scores="binary", loss="hinge", margin=0.01, sparsity="mean"), "crown", "solver"),
}


def costs(x: Tensor) -> Tensor:
    """The costs of the manoeuvres for inputs (n, 5) in [-0.5, 0.5].

    They are low where the paths come close.
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
        found.append(-torch.exp(-nearest / 0.0225) - abs(turn) / 500)
    made = torch.stack(found, 1)
    return (made - made.mean()) / made.std()


def untrained(seed: int = 0, width: int = 50) -> nn.Sequential:
    """The network with random weights, by which activations keep their size."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for inputs, outputs in zip([5] + [width] * 6, [width] * 6 + [5], strict=True):
        layer = nn.Linear(inputs, outputs)
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / inputs))
        nn.init.normal_(layer.bias, 0.0, 0.1)
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1]).eval()


def trained(seed: int = 0, width: int = 50) -> nn.Module:
    """The network, after 60 rounds over 20,000 random inputs."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for inputs, outputs in zip([5] + [width] * 6, [width] * 6 + [5], strict=True):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    module = nn.Sequential(*parts[:-1])
    x = torch.rand(20_000, 5) - 0.5
    wanted = costs(x)
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=60 * 40)
    for _ in range(60):
        for batch in torch.randperm(len(x)).reshape(40, 500):
            loss = ((module(x[batch]) - wanted[batch]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.step()
    return module.eval()


def main() -> None:
    """Print a line for each program."""
    parser = argparse.ArgumentParser(description="Joint programs of a network like those of ACAS Xu.")
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--program", choices=PROGRAMS, action="append")
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", action="store_true", help="random weights instead of trained ones")
    options = parser.parse_args()
    made = untrained if options.random else trained
    network = om.read_network(made(options.seed, options.width))
    x = np.random.default_rng(7).uniform(-0.5, 0.5, (2000, 5))
    labels = network.replay(x).argmax(axis=1)
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:3]]
    first = (first + [row for row in range(3) if row not in first])[:3]
    print("program                    status       objective      bound    CPU s")
    for name in options.program or PROGRAMS:
        formulation, bounds, search = PROGRAMS[name]
        began = time.process_time()
        method = om.Joint(formulation, bounds=bounds, search=search)
        try:
            solved = om.score(network, x[first], labels[first], method, solver=om.Solver(time_limit=options.time_limit))
        except OamipError as error:
            print(f"{name:<26} {error}", flush=True)
            continue
        (program,) = solved.programs
        seconds = time.process_time() - began
        print(
            f"{name:<26} {solved.status:<10} {program.objective:11.4f} {program.bound:10.4f} {seconds:8.1f}", flush=True
        )


if __name__ == "__main__":
    main()
