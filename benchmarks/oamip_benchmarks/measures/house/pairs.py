"""Compares two checkouts by the time of a build, and by the scores of one network.

Run: python -m oamip_benchmarks.measures.house.pairs OLD NEW [--repeats 7] [--images 500] [--epochs 5] [--seed 0]

A 784-300-100-10 network is trained here and written to a file, which both read. The build is that of a joint program of
10 images: bounds, layout and Pyomo instance. Each process builds it once before it is measured, and five times then.
Scores are found layer by layer, front to back, for half of the units, once in a process. Processes of the two
checkouts take turns, and the ratio is the median over the pairs. Masks keep the units of highest score in each layer.
The accuracy is on the test split. Exit code 1 where masks or accuracies differ.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import oamip_model as om

SIDE = """
import json, sys, time
import numpy as np
import torch
import oamip_model as om

torch.set_num_threads(1)
task, file, data = sys.argv[1], sys.argv[2], np.load(sys.argv[3], allow_pickle=False)
network = om.read_network(file)
x, y = data["x"], data["y"]
if task == "build":
    def build():
        if hasattr(om, "Formulation"):
            return om.build_instance(network, x[:10], y[:10], om.Formulation(gate="subtractive"))
        return om.build_instance(network, x[:10], y[:10], gate="subtractive")
    build()
    seconds = []
    for _ in range(5):
        began = time.process_time()
        build()
        seconds.append(time.process_time() - began)
    print(json.dumps(sorted(seconds)[2]))
else:
    began = time.process_time()
    if hasattr(om, "Forward"):
        scores = om.score(network, x, y, om.Forward(amount=0.5))
    else:
        scores = om.score(network, x, y, strategy="forward", amount=0.5)
    seconds = time.process_time() - began
    masks = {}
    for name, values in scores.by_layer.items():
        values = np.asarray(values)
        mask = np.zeros(len(values))
        mask[np.argsort(-values, kind="stable")[: len(values) - len(values) // 2]] = 1.0
        masks[name] = mask
    right = network.replay(data["x_test"], masks).argmax(axis=1) == data["y_test"]
    print(json.dumps({"accuracy": float(right.mean()), "seconds": seconds,
                      "masks": [mask.tolist() for mask in masks.values()]}))
"""


def ask(checkout: Path, task: str, *files: Path) -> Any:
    """The answer of a process with a checkout's code to the task "build" or "forward"."""
    path = os.pathsep.join(str(checkout.resolve() / part) for part in (".", "backends", "benchmarks"))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", SIDE, task, *map(str, files)]
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
    return json.loads(told.stdout.splitlines()[-1])


def make_files(folder: Path, images: int, epochs: int, seed: int) -> tuple[Path, Path]:
    """The trained network and the images, in files that both sides read."""
    train, test = om.load_dataset(), om.load_dataset(split="test")
    module = om.make_network("fc3", seed=seed)
    om.train(module, train, epochs=epochs, seed=seed, threads=1)
    chosen = om.choose_images(train, n=images, seed=seed)
    arrays = {"x": chosen.images, "y": chosen.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(folder / "images.npz", **arrays)  # type: ignore[arg-type]
    return om.save_module(module.eval(), folder / "network.onnx", (1, 28, 28)), folder / "images.npz"


def in_turn(old: Path, new: Path, task: str, files: tuple[Path, Path], repeats: int) -> list[tuple[Any, Any]]:
    """The answers of both checkouts to a task, in pairs; the first side alternates."""
    pairs = []
    for turn in range(repeats):
        told = {side: ask(side, task, *files) for side in ((old, new) if turn % 2 == 0 else (new, old))}
        pairs.append((told[old], told[new]))
    return pairs


def ratio(pairs: list[tuple[float, float]]) -> str:
    """Medians of both sides, and the median of the pairs' ratios, in words."""
    old, new = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    quotient = statistics.median(b / a for a, b in pairs)
    return f"{old:.3g} s of CPU before, {new:.3g} s after; ratio {quotient:.2f} (median of {len(pairs)} pairs)"


def main() -> int:
    """Print the ratio of the build times, and accuracies and masks of both sides."""
    parser = argparse.ArgumentParser(description="Build time and scores of two checkouts.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    for name, default in (("repeats", 7), ("images", 500), ("epochs", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        files = make_files(Path(made), given.images, given.epochs, given.seed)
        built, scored = (in_turn(given.old, given.new, task, files, given.repeats) for task in ("build", "forward"))
    print("build: " + ratio(built))
    before, after = scored[0]
    same = before["masks"] == after["masks"]
    units = sum(map(len, after["masks"]))
    other = sum(a != b for x, y in zip(before["masks"], after["masks"], strict=True) for a, b in zip(x, y, strict=True))
    print(f"forward: accuracy {before['accuracy']:.4f} before, {after['accuracy']:.4f} after; ", end="")
    print(f"masks {'equal' if same else f'differ in {other} of {units} units'}; ", end="")
    print(ratio([(old["seconds"], new["seconds"]) for old, new in scored]))
    return 0 if same and before["accuracy"] == after["accuracy"] else 1


if __name__ == "__main__":
    sys.exit(main())
