"""Measures the gap of one layer's mixed-integer program in a given time.

Its head is "rest" or "auxiliary".

Run: python -m oamip_benchmarks.measures.mixed_heads [--data fashion-mnist] [--network fc3] [--epochs 3] [--head rest]
     [--images 10 --images 100] [--seconds 60] [--bounds interval] [--solver highs]

The network is trained here. Each number of images has a line. It has status, objective, bound and
gap of the first scored layer's program, the objective of its convex start, and the replay check.
All other layers are as trained.
"""

from __future__ import annotations

import argparse
import time

import torch

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.scoring.asked import as_objects


def main() -> None:
    """Print one line for each number of images."""
    parser = argparse.ArgumentParser(description="Mixed-integer programs of one layer.")
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--network", default="fc3")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--head", default="rest")
    parser.add_argument("--images", type=int, action="append", default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--weight", type=float, default=5.0)
    parser.add_argument("--bounds", default="interval")
    parser.add_argument("--solver", default="highs")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (om.load_dataset(asked.data, split=split) for split in ("train", "test"))
    module = om.make_network(asked.network, input_shape=train.images.shape[1:], seed=asked.seed)
    om.train(module, train.images, train.labels, epochs=asked.epochs, seed=asked.seed)
    network = om.read_network(module, input_shape=train.images.shape[1:])
    first = network.groups[0]
    print(f"{asked.network}, seed {asked.seed}: test accuracy {om.accuracy(module, *test):.4f}; layer {first.name}")
    for count in asked.images or [10, 100]:
        chosen = om.choose_images(train, n=count)
        common = {"strategy": "decoupled", "weight": asked.weight, "seed": asked.seed, "solver": asked.solver}
        near = om.score(network, chosen, **as_objects(head="pattern", **common))
        ones = {group.name: torch.ones(group.size).double().numpy() for group in network.groups}
        logits = network.replay(chosen.images, ones | {first.name: near.by_layer[first.name]})
        loss = float(cross_entropy(logits, chosen.labels).mean())
        begun = asked.weight * loss + (near.by_layer[first.name].sum() - 2.0 * first.size) / first.divisor
        began = time.monotonic()
        scores = om.score(
            network,
            chosen,
            **as_objects(
                head=asked.head, program_images=count, bounds=asked.bounds, time_limit=asked.seconds, **common
            ),
        )
        took = time.monotonic() - began
        result = scores.programs[0]
        gap = "unknown" if result.gap is None else f"{result.gap:.2%}"
        bound = "none" if result.bound is None else f"{result.bound:.5f}"
        check = "none" if result.replay is None else f"{result.replay.logits:.1e}"
        start = f", convex solution {begun:.5f}" if asked.head == "rest" else ""
        print(
            f"  {count} images: {result.status}, objective {result.objective:.5f}, bound {bound}, gap {gap}{start}; "
            f"logits differ from the network's by {check}; {took:.0f} s, {result.nodes} nodes",
            flush=True,
        )


if __name__ == "__main__":
    main()
