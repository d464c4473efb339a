"""Measures deep networks: seconds, memory and size of each layer's master.

Run: python -m oamip_benchmarks.measures.deep [--network vgg16-bn] [--head linear] [--images 1000] [--amount 0.3]
     [--train-images 2000] [--epochs 2] [--seed 0] [--threads 1]

The network takes 3x32x32. Images are Fashion-MNIST's, with two pixels of margin on each side and
the one channel three times. The network is trained on few of them, so that its layers separate the
classes. The peaks are those of
the whole process, before and after scoring.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import oamip_model as om


def peak() -> float:
    """Largest memory of the process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def coloured(data: om.Dataset) -> om.Dataset:
    """The 28x28 images as 3x32x32."""
    images = np.pad(data.images.reshape(-1, 1, 28, 28), ((0, 0), (0, 0), (2, 2), (2, 2))).repeat(3, axis=1)
    return om.Dataset(images, data.labels, f"{data.source}, as 3x32x32", data.classes)


def main() -> None:
    """Print a table of the layers, and seconds and memory of each stage."""
    parser = argparse.ArgumentParser(description="Scoring deep networks layer by layer.")
    parser.add_argument("--network", default="vgg16-bn")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--head", default="linear")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--amount", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    train = coloured(om.choose_images(om.load_dataset(asked.data, split="train"), n=asked.train_images))
    module = om.make_network(asked.network, input_shape=(3, 32, 32), seed=asked.seed)
    om.train(module, train.images, train.labels, epochs=asked.epochs, seed=asked.seed)
    network = om.read_network(module, input_shape=(3, 32, 32))
    images = om.choose_images(train, n=asked.images)
    print(f"{asked.network}, {asked.epochs} epochs on {train.count} images; before scoring: peak {peak():.2f} GiB")
    began = time.monotonic()
    scores = om.score(network, images, method=om.Decoupled(head=asked.head))
    took = time.monotonic() - began
    print("| layer | units | features | head's accuracy | variables | rows | gap | columns, s | solve, s | replay, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for program in scores.programs:
        head = program.trained
        seen = ("", "") if head is None else (f"{head.features:,}", f"{head.accuracy:.3f}")
        seconds = " | ".join(f"{program.seconds[stage]:.1f}" for stage in ("columns", "solve", "replay"))
        units = len(scores.by_layer[program.layer])
        cells = f"{program.layer} | {units} | {seen[0]} | {seen[1]} | {program.variables} | {program.rows}"
        print(f"| {cells} | {program.gap:.1e} | {seconds} |")
    print(f"{images.count} images, {asked.head}: {took:.0f} s, peak {peak():.2f} GiB, status {scores.status}")
    for warning in scores.warnings:
        print(f"warning: {warning}")
    began = time.monotonic()
    smaller = om.prune(module, scores, amount=asked.amount)
    print(f"{asked.amount:.0%} of each layer removed: {time.monotonic() - began:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "smaller.onnx"
        om.save_module(smaller, path, (3, 32, 32))
        again = om.read_network(path)
        with torch.inference_mode():
            logits = smaller(torch.as_tensor(images.images[:20], dtype=torch.float32)).numpy()
        difference = np.abs(again.replay(images.images[:20]) - logits).max() / np.abs(logits).max()
        print(
            f"exported: {path.stat().st_size / 2**20:.1f} MiB, parameters {network.parameters:,} to "
            f"{again.parameters:,}, logits differ by {difference:.1e} of the largest"
        )


if __name__ == "__main__":
    main()
