"""Scoring layer by layer: time and oracle calls against the number of images, and accuracy against the share removed.

Run: python -m oamip_benchmarks.layerwise [--data fashion-mnist] [--network fc3] [--epochs 15] [--seed 0]
     [--images 100 --images 1000 ...] [--share 0.5 --share 0.7 ...]

The network is trained here. With --images: strategy "decoupled", weight 5, gap 1e-3, seconds and oracle calls for each
number of images. With --share: strategy "forward" with that amount, from the last number of images; test accuracy
without fine-tuning, against weight-norm pruning.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

import oamip_model as om
from oamip_model.pruning import choose_units


def main() -> None:
    """Print one line for each number of images, and one for each share."""
    parser = argparse.ArgumentParser(description="Scoring layer by layer.")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--network", default="fc3")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, action="append", default=None)
    parser.add_argument("--share", type=float, action="append", default=None)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    train, test = (om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    module = om.make_network(asked.network, input_shape=train.images.shape[1:], seed=asked.seed)
    om.train(module, train.images, train.labels, epochs=asked.epochs, seed=asked.seed)
    network = om.read_network(module, input_shape=train.images.shape[1:])
    full = om.accuracy(module, *test)
    print(f"{asked.network}, seed {asked.seed}, trained on {train.count} images: test accuracy {full:.4f}")
    chosen = train
    for count in asked.images or [train.count]:
        chosen = train if count >= train.count else om.choose_images(train, n=count)
        began = time.monotonic()
        scores = om.score(network, chosen, strategy="decoupled", weight=5.0)
        took = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        calls = ", ".join(str(program.rounds) for program in scores.programs)
        print(
            f"  {count} images: {took:.1f} s, oracle calls {calls}, gap {scores.gap:.1e}, peak {peak:.2f} GiB",
            flush=True,
        )
    norms = om.baseline_scores(network, "weight-norm")
    for share in asked.share or []:
        began = time.monotonic()
        scores = om.score(network, chosen, strategy="forward", amount=share)
        took = time.monotonic() - began
        accuracies = []
        for by in (scores, norms):
            keep = choose_units(by, network, amount=share).keep
            smaller = {name: mask.astype(np.float64) for name, mask in keep.items()}
            accuracies.append(float((network.replay(test.images, smaller).argmax(axis=1) == test.labels).mean()))
        ours, weight_norm = accuracies
        print(f"  {share:.0%} removed: {ours:.4f}, by weight norm {weight_norm:.4f}; {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
