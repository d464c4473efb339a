"""Measures accuracy and seconds of each method, after a cut and after refits.

Run: python -m oamip_benchmarks.measures.layers.methods [--network fc3 --network lenet5 --network residual]
     [--method elimination --method forward ...] [--share 0.5] [--data fashion-mnist-2000] [--images 1500] [--epochs 6]
     [--seed 0] [--rows FILE.jsonl]

Networks are trained here. Masks and refits see the same training images, and only the methods with a
program see their labels. Accuracy is on the whole test split. Seconds are of the processor, with one
thread. With ``--rows`` finished lines are kept in a file, from which the same command continues.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import oamip_model as om
from oamip_model.records import parse_json

LEVELS = ("least-squares", "outgoing")


class Block(nn.Module):
    """Two convolutions with a shortcut around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        self.first, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Activations (n, channels, height, width)."""
        return self.last(x + self.b(self.first(self.a(x))))  # type: ignore[no-any-return]


def residual_network() -> nn.Module:
    """A residual network of 24 and 48 channels, with 119,000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), Block(24), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), Block(48), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(48 * 49, 24), nn.ReLU(), nn.Linear(24, 10),
    )  # fmt: skip


def scores_by(method: str, network: om.Network, images: om.Dataset, share: float) -> om.Scores:
    """Scores by a method's name, with a share where it takes one.

    ``elimination-any`` is elimination without an amount. ``forward-once`` is ``forward`` without a
    second round and without exchanges.
    """
    known: dict[str, Any] = {
        "elimination": om.Elimination(amount=share),
        "elimination-any": om.Elimination(),
        "forward": om.Forward(amount=share),
        "forward-once": om.Forward(amount=share, sweeps=0, exchanges=0),
        "decoupled": om.Decoupled(amount=share),
    }
    if method in known:
        return om.score(network, images, method=known[method])
    return om.baseline_scores(network, method)  # type: ignore[arg-type]


def measured(
    module: nn.Module, network: om.Network, method: str, share: float, images: om.Dataset, test: om.Dataset
) -> dict[str, Any]:
    """Accuracy after removal and after each level, and the seconds of each."""
    began = time.process_time()
    scores = scores_by(method, network, images, share)
    seconds = [time.process_time() - began]
    smaller = om.prune(module, scores, amount=share, network=network)
    found = [om.accuracy(smaller, *test)]
    for level in LEVELS:
        began = time.process_time()
        smaller = om.prune(module, scores, amount=share, network=network, refit=level, images=images)
        seconds.append(time.process_time() - began)
        found.append(om.accuracy(smaller, *test))
    return {"accuracy": found, "seconds": seconds}


def main() -> None:
    """Print a table with one line for each network, share and method."""
    parser = argparse.ArgumentParser(description="Methods by accuracy after removal and refits, and by seconds.")
    parser.add_argument("--network", action="append")
    parser.add_argument("--method", action="append")
    parser.add_argument("--share", type=float, action="append")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (om.load_dataset(asked.data, split=part) for part in ("train", "test"))
    train = train[: asked.images]
    rows = [] if asked.rows is None or not asked.rows.exists() else asked.rows.read_bytes().splitlines()
    known: dict[str, dict[str, Any]] = {row["key"]: row for row in (parse_json(line, str(asked.rows)) for line in rows)}
    names = " | ".join(("removal", *LEVELS))
    print(f"| network | share | method | {names} | scores, s | least squares, s | outgoing, s |")
    print("|" + "---|" * 9, flush=True)
    for name in asked.network or ["fc3", "lenet5", "residual"]:
        torch.manual_seed(asked.seed)
        module = residual_network() if name == "residual" else om.make_network(name, seed=asked.seed)
        om.train(module, train.images, train.labels, epochs=asked.epochs, seed=asked.seed, threads=1)
        network = om.read_network(module.eval(), train.images.shape[1:])
        print(f"| {name} | 0 % | none | {100 * om.accuracy(module, *test):.1f} | | | | | |", flush=True)
        for share in asked.share or [0.5]:
            for method in asked.method or ["elimination", "elimination-any", "decoupled", "forward", "weight-l1"]:
                key = json.dumps([name, share, method, test.source, asked.images, asked.epochs, asked.seed])
                row = known.get(key) or measured(module, network, method, share, train, test)
                if key not in known and asked.rows is not None:
                    with asked.rows.open("a") as file:
                        file.write(json.dumps({"key": key} | row) + "\n")
                accuracies = " | ".join(f"{100 * value:.1f}" for value in row["accuracy"])
                seconds = " | ".join(f"{np.round(value, 1):g}" for value in row["seconds"])
                print(f"| {name} | {share:.0%} | {method} | {accuracies} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
