"""How far masks by elimination are from the best ones, by brute force and by the binary program's bound.

Run: python -m oamip_benchmarks.measures.elimination [--network NAME --weights FILE] [--data NAME] [--images 1000]
     [--share 0.5] [--layer NAME ...] [--time-limit 60] [--solver highs] [--scale 0,1]

Each layer is judged on its own, in the trained network, by the squared error of the refitted layers that read it.
Layers of up to 20 units are enumerated; for the others, up to ``--units``, the program's certified bound is given.
Without --network, small networks are trained on the data first.
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations, islice
from math import comb
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import oamip_model as om
from oamip_model.network.maps import Array
from oamip_model.refit.elimination.layer_error import LayerError, Regression
from oamip_model.refit.elimination.sweep import eliminate
from oamip_model.refit.elimination.units import GroupReaders
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk
from oamip_model.scoring.layerwise.convex import ConvexSolve, minimise_convex
from oamip_model.scoring.layerwise.projection import Tangents

_LISTED = 20
"""Units up to which every mask is computed."""
_PART = 2000
"""Masks that are computed at a time."""


def main() -> None:
    """Print a table with one line for each layer and share."""
    parser = argparse.ArgumentParser(description="Masks by elimination against the best masks.")
    parser.add_argument("--network", default=None)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--data", default="fashion-mnist-2000")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--share", type=float, action="append", default=None)
    parser.add_argument("--layer", action="append", default=None)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--scale", default="0,1")
    asked = parser.parse_args()
    mean, deviation = (float(part) for part in asked.scale.split(","))
    data = om.load_dataset(asked.data, split="train")
    images = (data.images[: asked.images] - mean) / deviation
    print("| network | layer | units | kept | elimination | swaps | best | elimination above it | bound | gap | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in [asked.network] if asked.network else ["dense-20-16", "dense-16-100"]:
        network = trained(name, asked.weights, data)
        readers, stream = (
            GroupReaders(network, image_stream(network, images), om.Refit()),
            image_stream(network, images),
        )
        whole = {group.name: np.ones(group.size, dtype=bool) for group in network.groups}
        walk = Walk(network, slim_network(network, whole), stream)
        for g in sorted(range(len(network.groups)), key=lambda g: readers.first[g]):
            group = network.groups[g]
            if group.size > asked.units or (asked.layer and group.name not in asked.layer):
                continue
            systems = readers.systems(walk, g)
            error = LayerError(systems, group.size, om.Refit.ridge)
            for share in asked.share or [0.5]:
                stay = max(1, group.size - round(share * group.size))
                line = judged(error, systems, group.size, stay, asked)
                print(f"| {name} | {group.name} | {group.size} | {stay} | {line} |", flush=True)


def judged(error: LayerError, systems: list, units: int, stay: int, asked: argparse.Namespace) -> str:  # type: ignore[type-arg]
    """The columns of the table from elimination's error on."""
    began = time.process_time()
    found = eliminate(systems, units, stay, om.Refit.ridge, 20)
    start = found.error
    best = least_error(error.parts, units, stay) if units <= _LISTED else None
    how = ConvexSolve(solver=asked.solver, time_limit=asked.time_limit)
    scaled = minimise_convex(
        error, np.zeros(units), 1.0 / max(start, 1e-12), how, binary=True, tangents=Tangents(most=stay),
        starts=[found.keep.astype(float)],
    )  # fmt: skip
    bound, reached = (value * start for value in (scaled.bound, scaled.objective))
    known = min(reached, start) if best is None else best
    above = f"{max(0.0, 100 * (start / known - 1)):.2f} %" if known > 0 else "0 %"
    shown = f"{known:.4g}" + ("" if best is not None else " (best known)")
    return (
        f"{start:.4g} | {found.swaps} | {shown} | {above} | {bound:.4g} | {max(0.0, 1 - bound / known):.1%} | "
        f"{time.process_time() - began:.0f}"
    )


def least_error(parts: list[Regression], units: int, stay: int) -> float:
    """The least error of all masks that keep so many units, each computed."""
    masks, least = combinations(range(units), stay), np.inf
    for _ in range(-(-comb(units, stay) // _PART)):
        kept = np.array(list(islice(masks, _PART)))
        least = min(least, float(np.sum([errors(part, kept) for part in parts], axis=0).min()))
    return least


def errors(part: Regression, kept: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Array:
    """The error of one reader with each of these sets of units, (masks,)."""
    matrix, places = part.matrix, [np.flatnonzero(part.owners == unit) for unit in range(int(part.owners.max()) + 1)]
    at = torch.as_tensor(np.stack([np.concatenate([places[unit] for unit in units]) for units in kept]))
    inner, right = matrix[at[:, :, None], at[:, None, :]], part.target[at]
    explained = (right * torch.cholesky_solve(right, torch.linalg.cholesky(inner))).sum((1, 2))
    return np.asarray(part.scale * (part.total - explained.numpy()))


def trained(name: str, weights: Path | None, data: om.Dataset) -> om.Network:
    """The network with the weights of a file, or trained on the data for ten epochs."""
    module = om.make_network(name, data.images.shape[1:], data.classes)
    if weights is None:
        om.train(module, data.images, data.labels, epochs=10)
    else:
        module.load_state_dict(load_file(weights))
    return om.read_network(module.eval(), data.images.shape[1:])


if __name__ == "__main__":
    main()
