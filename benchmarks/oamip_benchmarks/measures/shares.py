"""Measures accuracy against the share of units removed, without fine-tuning.

Scores are layer by layer, and by baselines.

Run: python -m oamip_benchmarks.measures.shares --folder DIR [--data fashion-mnist] [--network fc3] [--epochs 15]
     [--seed 0 --seed 1 ...] [--images 20000] [--share 0.3 --share 0.5 ...] [--scope layer] [--strategy forward]
     [--head pattern] [--loss cross-entropy] [--sweeps 1] [--exchanges 50] [--sparsity published] [--threads 1]

For each seed the network is trained here, on all training images. Its scores are from ``--images``
of them, as many of each class. Baselines that use images get the same ones. Accuracy is on the test
split. One table for each seed:
the scores of each strategy, found anew for each share, and each baseline; random is the mean of
five draws. Trained networks and finished programs are kept in the folder, so that a killed run can
continue.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import nn

import oamip_model as om
from oamip_model.pruning import choose_units
from oamip_model.pruning.baselines.rules import WITH_IMAGES, Baseline
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.select import Scope

DRAWS = 5
"""Of the baseline random."""


def main() -> None:
    """Print one table for each seed."""
    parser = argparse.ArgumentParser(description="Accuracy against the share of units removed.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--network", default="fc3")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, action="append", default=None)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--share", type=float, action="append", default=None)
    parser.add_argument("--scope", choices=["layer", "global"], default="layer")
    parser.add_argument("--strategy", action="append", default=None)
    parser.add_argument("--head", default="pattern")
    parser.add_argument("--sweeps", type=int, default=None)
    parser.add_argument("--exchanges", type=int, default=None)
    parser.add_argument("--sparsity", default="published")
    parser.add_argument("--loss", default="cross-entropy")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    asked.strategy = asked.strategy or ["forward"]
    asked.share = asked.share or [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)
    data = tuple(om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    for seed in asked.seed or [0]:
        table(asked, seed, *data)


def table(asked: argparse.Namespace, seed: int, train: om.Dataset, test: om.Dataset) -> None:
    """Print the table of one seed."""
    shape = train.images.shape[1:]
    network = om.read_network(trained(asked, seed, train), input_shape=shape)
    images = train if asked.images >= train.count else om.choose_images(train, n=asked.images, seed=seed)
    whole = om.accuracy(network, *test)
    print(f"\n{asked.network}, seed {seed}: test accuracy {whole:.4f}; {images.count} images, scope {asked.scope}\n")
    print("| scores | " + " | ".join(f"{share:.0%}" for share in asked.share) + " |")
    print("|---|" + "---|" * len(asked.share), flush=True)
    for strategy in asked.strategy:
        began = time.monotonic()
        left = []
        for share in asked.share:
            scores = om.score(
                network,
                images,
                **as_objects(
                    strategy=strategy,
                    head=asked.head,
                    amount=share,
                    scope=asked.scope,
                    sparsity=asked.sparsity,
                    loss=asked.loss,
                    store=asked.folder / f"{asked.network}-{seed}.jsonl",
                    **{} if asked.sweeps is None else {"sweeps": asked.sweeps},
                    **{} if asked.exchanges is None else {"exchanges": asked.exchanges},
                ),
            )
            left.append(accuracy(network, scores, test, share, asked.scope))
            print(
                f"{asked.network} {seed}, {strategy}: {share:.0%} removed, {left[-1]:.4f}", file=sys.stderr, flush=True
            )
        took = (time.monotonic() - began) / len(asked.share)
        row(f"{strategy}, {asked.head} ({took:.0f} s a share)", left)
        row("  points lost", [100 * (whole - value) for value in left], ".1f")
    for method in get_args(Baseline):
        seen = images if method in WITH_IMAGES else None
        draws = [om.baseline_scores(network, method, k, images=seen) for k in range(DRAWS if method == "random" else 1)]
        row(method, [float(np.mean([accuracy(network, s, test, a, asked.scope) for s in draws])) for a in asked.share])


def row(name: str, values: list[float], style: str = ".3f") -> None:
    """Print a row of the table."""
    print(f"| {name} | " + " | ".join(format(value, style) for value in values) + " |", flush=True)


def trained(asked: argparse.Namespace, seed: int, train: om.Dataset) -> nn.Module:
    """The network of a seed, trained, or as an earlier run left it."""
    path = asked.folder / f"{asked.network}-{seed}-{asked.epochs}-{asked.data}.pt"
    module = om.make_network(asked.network, input_shape=train.images.shape[1:], seed=seed)
    if path.exists():
        module.load_state_dict(torch.load(path, weights_only=True))
        return module
    om.train(module, *train, epochs=asked.epochs, seed=seed, threads=asked.threads)
    torch.save(module.state_dict(), path)
    return module


def accuracy(network: om.Network, scores: om.Scores, test: om.Dataset, share: float, scope: Scope) -> float:
    """Test accuracy with this share of the units removed."""
    keep = choose_units(scores, network, amount=share, scope=scope).keep
    logits = network.replay(test.images, {name: mask.astype(np.float64) for name, mask in keep.items()})
    return float((logits.argmax(axis=1) == test.labels).mean())


if __name__ == "__main__":
    main()
