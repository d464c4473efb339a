"""Measures scoring layer by layer: time, memory and oracle calls by images.

Run: python -m oamip_benchmarks.measures.layerwise [--data fashion-mnist] [--network fc3] [--epochs 15] [--seed 0]
     [--images 100 --images 1000 ...] [--threads 2] [--path]

The network is trained here. Strategy "decoupled", weight 5, gap 1e-3: seconds and oracle calls for each number of
images. With --path a whole path of weights follows, which removes half of all units by one weight.
Its oracle calls compare the price of a path with that of one weight.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

import oamip_model as om
from oamip_model.scoring.asked import as_objects


def main() -> None:
    """Print one line for each number of images, two with --path."""
    parser = argparse.ArgumentParser(description="Scoring layer by layer.")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--network", default="fc3")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, action="append", default=None)
    parser.add_argument("--path", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    train, test = (om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    module = om.make_network(asked.network, input_shape=train.images.shape[1:], seed=asked.seed)
    om.train(module, train.images, train.labels, epochs=asked.epochs, seed=asked.seed)
    network = om.read_network(module, input_shape=train.images.shape[1:])
    full = om.accuracy(module, *test)
    print(f"{asked.network}, seed {asked.seed}, trained on {train.count} images: test accuracy {full:.4f}")
    for count in asked.images or [train.count]:
        chosen = train if count >= train.count else om.choose_images(train, n=count)
        for options in ({"weight": 5.0}, {"amount": 0.5, "scope": "global"})[: 1 + asked.path]:
            began = time.monotonic()
            scores = om.score(network, chosen, **as_objects(strategy="decoupled", **options))
            took = time.monotonic() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            calls = ", ".join(str(program.rounds) for program in scores.programs)
            told = "one weight" if "weight" in options else "path of weights"
            print(
                f"  {count} images, {told}: {took:.1f} s, oracle calls {calls}, gap {scores.gap:.1e}, "
                f"peak {peak:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
