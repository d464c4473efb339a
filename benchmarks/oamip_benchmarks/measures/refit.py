"""Measures test accuracy after a cut and after each level of a refit.

Masks are by elimination and by simple rules.

Run: python -m oamip_benchmarks.measures.refit --network resnet20 --weights FILE --data FILE --share 0.3 [--share 0.5]
     [--macs 0.7] [--level outgoing] [--score-images 2000] [--refit-images 10000]
     [--method elimination --method weight-l1] [--passes 4] [--seed 0] [--scale 0.5,0.5] [--threads 1]
     [--device cuda] [--rows FILE.jsonl] [--plot FILE.svg [--title TEXT]]

``--weights`` is a .safetensors file with the weights of ``om.make_network(NETWORK, ...)``; ``--data`` a name or .npz
file. Masks and refits see the first training images without labels; accuracy is on the whole test split.
``--scale`` m,s makes pixels (x - m) / s. The share is of each score group. ``--macs`` is the
budget of multiply-accumulates that are left, as a share. With ``--rows`` finished
lines are kept in a file, from which the same command continues. ``--plot`` draws accuracy against
parameters.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

import oamip_model as om
from oamip_model.page import COLOURS, plain
from oamip_model.pruning.baselines.rules import WITH_IMAGES
from oamip_model.refit.options import LEVELS
from oamip_model.refit.outgoing.fit import fit_outgoing
from oamip_model.refit.output import fit_output
from oamip_model.refit.passed import fit_layers
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk
from oamip_model.runs.store import RunStore, key_of

Images: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
Masks: TypeAlias = dict[str, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]


def main() -> None:
    """Print a table with one line for each method and share."""
    parser = argparse.ArgumentParser(description="Accuracy after each level of a refit.")
    parser.add_argument("--network", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--share", type=float, action="append", default=[])
    parser.add_argument("--macs", type=float, action="append", default=[])
    parser.add_argument("--method", action="append", default=None)
    parser.add_argument("--level", choices=LEVELS, default="outgoing")
    parser.add_argument("--score-images", type=int, default=2000)
    parser.add_argument("--refit-images", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=om.Refit.passes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", default="0,1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=Path, default=None)
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--title", default="")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    store = RunStore(asked.rows)
    mean, deviation = (float(part) for part in asked.scale.split(","))
    train, test = (scaled(om.load_dataset(asked.data, split=part), mean, deviation) for part in ("train", "test"))
    shape = train.images.shape[1:]
    module = om.make_network(asked.network, shape, train.classes)
    module.load_state_dict(load_file(asked.weights))
    network = om.read_network(module.eval(), shape)
    whole = om.accuracy(module, *test)
    print(f"{asked.network}, {test.source}: test accuracy {whole:.4f}; points lost, after")
    names = LEVELS[: LEVELS.index(asked.level) + 1]
    print("| masks | cut | removal | " + " | ".join(names) + " | masks, CPU s | refit, CPU s | gap of output, nats |")
    print("|---|---|---|" + "---|" * (len(names) + 3), flush=True)
    rows: list[dict[str, Any]] = []
    cuts = [(share, False) for share in asked.share] + [(macs, True) for macs in asked.macs]
    if not cuts:
        parser.error("give --share or --macs")
    for method in asked.method or ["elimination"]:
        for cut in cuts:
            key = key_of(
                network=asked.network, weights=asked.weights.name, data=test.source, method=method, cut=cut,
                level=asked.level, images=(asked.score_images, asked.refit_images), passes=asked.passes,
                seed=asked.seed, scale=asked.scale, device=asked.device,
            )  # fmt: skip
            known = store.get(key)
            if known is not None:
                rows.append(known)
                print(line(known), flush=True)
                continue
            began = time.process_time()
            keep = masks(network, first(train, asked.score_images), method, cut, asked.seed, asked.device)
            took = time.process_time() - began
            refit = om.Refit(level=asked.level, passes=asked.passes, seed=asked.seed, device=asked.device)
            images = first(train, asked.refit_images).images
            lost, seconds, gap = levels(network, keep, images, refit, test, whole)
            left = parameters(pruned(network, keep)) / parameters(module)
            said = f"{cut[0]:.0%} of MACs left" if cut[1] else f"{cut[0]:.0%}"
            row = {"method": method, "cut": said, "parameters": left, "whole": whole, "lost": lost}
            rows.append(row | {"masks": took, "refit": seconds, "gap": gap})
            print(line(rows[-1]), flush=True)
            store.put(key, rows[-1])
    if asked.plot is not None:
        draw(rows, names, asked.title or f"{asked.network}, {test.source}").savefig(asked.plot, dpi=150)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


def line(row: dict[str, Any]) -> str:
    """A row as a line of the table."""
    cells = " | ".join(f"{value:.1f}" for value in row["lost"])
    seconds = f"{row['masks']:.0f} | {row['refit']:.0f}"
    return f"| {row['method']} | {row['cut']} | {cells} | {seconds} | {row['gap']} |"


def draw(rows: list[dict[str, Any]], names: tuple[str, ...], title: str) -> Figure:
    """Draw accuracy against parameters, after the last level, dashed after removal."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = plain(figure.subplots())
    for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: -row["parameters"])
        places = [100.0, *(100 * row["parameters"] for row in mine)]
        for level, dash, said in ((-1, "-", f"refit {names[-1]}"), (0, "--", "removal alone")):
            heights = [100 * mine[0]["whole"], *(100 * row["whole"] - row["lost"][level] for row in mine)]
            label = f"{method}, {said}"
            axes.plot(places, heights, dash, color=COLOURS[number], marker="o", markersize=3, label=label)
    axes.set_xlim(102, 100 * min(row["parameters"] for row in rows) - 2)
    axes.set_xlabel("parameters kept, %")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def parameters(module: torch.nn.Module) -> int:
    """How many numbers a module has to learn."""
    return sum(part.numel() for part in module.parameters())


def levels(
    network: om.Network, keep: Masks, images: Images, refit: om.Refit, test: om.Dataset, whole: float
) -> tuple[list[float], float, str]:
    """Points lost after the cut and after each level, seconds, and the output's gap."""
    walk = Walk(network, slim_network(network, keep), image_stream(network, images), refit.device)
    lost, seconds, gap = [100 * (whole - accuracy(network, keep, test))], 0.0, ""
    for level in LEVELS[: LEVELS.index(refit.level) + 1]:
        began = time.process_time()
        if level == "least-squares":
            fit_layers(walk, refit)
        elif level == "output":
            gap = f"{fit_output(walk, refit).gap:.0e}"
        else:
            fit_outgoing(walk, refit, lambda line: print(line, file=sys.stderr, flush=True))
        seconds += time.process_time() - began
        lost.append(100 * (whole - accuracy(walk.slim.widen(walk.current), keep, test)))
        print(f"{level}: {lost[-1]:.2f} points lost, {seconds:.0f} s so far", file=sys.stderr, flush=True)
    return lost, seconds, gap


def scaled(data: om.Dataset, mean: float, deviation: float) -> om.Dataset:
    """The data set with pixels (x - mean) / deviation."""
    return om.Dataset((data.images - mean) / deviation, data.labels, data.source, data.classes)


def first(data: om.Dataset, count: int) -> om.Dataset:
    """The first images of a data set, as many as there are up to a number."""
    return om.Dataset(data.images[:count], data.labels[:count], data.source, data.classes)


def masks(
    network: om.Network, images: om.Dataset, method: str, cut: tuple[float, bool], seed: int, device: str
) -> Masks:
    """The masks of a cut, by elimination or by a baseline's rule.

    The cut is a share of each group, or the share of multiply-accumulates that is left.
    """
    value, is_budget = cut
    # A cut of both sides of a convolution counts twice, so each group loses about half of what the budget asks.
    share = (1 - value) / 2 if is_budget else value
    if method == "elimination":
        scores = om.score(network, images, method=om.Elimination(amount=share, seed=seed), run=om.Run(device=device))
    else:
        seen = images if method in WITH_IMAGES else None
        scores = om.baseline_scores(network, method, seed, images=seen)  # type: ignore[arg-type]
    amount = om.Budget(macs=value) if is_budget else share
    return dict(om.choose_units(scores, network, amount=amount).keep)


def accuracy(network: om.Network, keep: Masks, test: om.Dataset) -> float:
    """Test accuracy with these units, in torch."""
    return om.accuracy(pruned(network, keep), *test)


def pruned(network: om.Network, keep: Masks) -> torch.nn.Module:
    """The network without the other units, in torch."""
    return om.prune(network, {name: mask.astype(float) for name, mask in keep.items()}, threshold=0.5)


if __name__ == "__main__":
    main()
