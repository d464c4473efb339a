"""Measures test accuracy after a cut and after each level of a refit.

Masks are by elimination and by simple rules.

Run: python -m oamip_benchmarks.measures.refit --network resnet20 --weights FILE --data FILE --share 0.3 [--share 0.5]
     [--level outgoing] [--score-images 2000] [--refit-images 10000] [--method elimination --method weight-l1]
     [--passes 4] [--seed 0] [--scale 0.5,0.5] [--threads 1]

``--weights`` is a .safetensors file with the weights of ``om.make_network(NETWORK, ...)``; ``--data`` a name or .npz
file. Masks and refits see the first training images without labels; accuracy is on the whole test split.
``--scale`` m,s makes pixels (x - m) / s. The share is of each score group.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import oamip_model as om
from oamip_model.pruning.baselines.rules import WITH_IMAGES
from oamip_model.refit.options import LEVELS


def main() -> None:
    """Print a table with one line for each method and share."""
    parser = argparse.ArgumentParser(description="Accuracy after each level of a refit.")
    parser.add_argument("--network", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--share", type=float, action="append", required=True)
    parser.add_argument("--method", action="append", default=None)
    parser.add_argument("--level", choices=LEVELS, default="outgoing")
    parser.add_argument("--score-images", type=int, default=2000)
    parser.add_argument("--refit-images", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=om.Refit.passes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", default="0,1")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    mean, deviation = (float(part) for part in asked.scale.split(","))
    train, test = (scaled(om.load_dataset(asked.data, split=part), mean, deviation) for part in ("train", "test"))
    shape = train.images.shape[1:]
    module = om.make_network(asked.network, shape, train.classes)
    module.load_state_dict(load_file(asked.weights))
    network = om.read_network(module.eval(), shape)
    whole = om.accuracy(module, *test)
    print(f"{asked.network}, {test.source}: test accuracy {whole:.4f}; points lost, after")
    names = LEVELS[: LEVELS.index(asked.level) + 1]
    print("| masks | share | removal | " + " | ".join(names) + " | masks, s | refit, s | gap of output, nats |")
    print("|---|---|---|" + "---|" * (len(names) + 3), flush=True)
    for method in asked.method or ["elimination"]:
        for share in asked.share:
            began = time.monotonic()
            scores = scored(network, first(train, asked.score_images), method, share, asked.seed)
            keep = om.choose_units(scores, network, amount=share).keep
            took = time.monotonic() - began
            lost, seconds, gap = [100 * (whole - accuracy(network, keep, test))], 0.0, ""
            for level in names:
                refit = om.Refit(level=level, passes=asked.passes, seed=asked.seed)
                images = first(train, asked.refit_images).images
                after, report = om.refit_network(network, keep, images, refit)
                lost.append(100 * (whole - accuracy(after, keep, test)))
                seconds = sum(stage.seconds for stage in report.stages)
                gap = "" if report.output is None else f"{report.output.gap:.0e}"
            cells = " | ".join(f"{value:.1f}" for value in lost)
            print(f"| {method} | {share:.0%} | {cells} | {took:.0f} | {seconds:.0f} | {gap} |", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


def scaled(data: om.Dataset, mean: float, deviation: float) -> om.Dataset:
    """The data set with pixels (x - mean) / deviation."""
    return om.Dataset((data.images - mean) / deviation, data.labels, data.source, data.classes)


def first(data: om.Dataset, count: int) -> om.Dataset:
    """The first images of a data set, as many as there are up to a number."""
    return om.Dataset(data.images[:count], data.labels[:count], data.source, data.classes)


def scored(network: om.Network, images: om.Dataset, method: str, share: float, seed: int) -> om.Scores:
    """Scores by elimination, or by a baseline's rule."""
    if method == "elimination":
        return om.score(network, images, method=om.Elimination(amount=share, seed=seed))
    seen = images if method in WITH_IMAGES else None
    return om.baseline_scores(network, method, seed, images=seen)  # type: ignore[arg-type]


def accuracy(
    network: om.Network, keep: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]], test: om.Dataset
) -> float:
    """Test accuracy with these units, in torch."""
    module = om.prune(network, {name: mask.astype(float) for name, mask in keep.items()}, threshold=0.5)
    return om.accuracy(module, *test)


if __name__ == "__main__":
    main()
