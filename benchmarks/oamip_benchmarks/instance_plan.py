"""The plan of the benchmark's library: its networks, gates, losses and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from oamip_benchmarks.bench.programs import library_network
from oamip_benchmarks.bench.recipes import PIXEL, PLANTED, Best, Recipe, library_images

SEED = 2023
_SPARSITIES = ("mean", "parameters", "published")
_LETTERS = {"cross-entropy": "ce", "hinge": "hinge", "margin": "margin"}
_MARGIN = 0.5
_RADII = (1 / PIXEL, 3 / PIXEL)
"""Radii of the boxes, so that their corners are exact in binary and in decimals."""

DECOUPLED = {
    "digits-dense": "1", "digits-deep": "3", "digits-conv": "0", "digits-residual": "stem", "fashion-dense": "4",
    "fashion-deep": "2", "fashion-average": "3", "fashion-max": "0",
}  # fmt: skip
"""The score group whose subproblem is taken."""


def plan(networks: Mapping[str, Mapping[str, Any]]) -> list[Recipe]:
    """The recipes, without shapes and hashes, for the library's networks.

    Sizes are those expected; `make_instances best` replaces them by what was seen.
    """
    found = list(_boxes(networks))
    for number, recipe in enumerate(_shapes(networks)):
        count = len(recipe.images)
        images = _images(recipe, count, SEED + number)
        sparsity = "published" if recipe.gate == "published" else _SPARSITIES[number % 3]
        found.append(replace(recipe, name=_name(recipe, count), images=images, sparsity=sparsity))
    return found


def _boxes(networks: Mapping[str, Mapping[str, Any]]) -> Iterator[Recipe]:
    """The family of boxes: the strongest wrong logit around the first image, and the logit of each planted network."""
    for network, known in networks.items():
        recipe = Recipe("", "small", network, str(known["data"]), (0,), loss="margin", sparsity="published")
        if recipe.data == PLANTED:
            best = Best(-known["planted"], -known["planted"], PLANTED, PLANTED)
            yield replace(recipe, name=f"{network}-box", radius=0.5, best=best)
            continue
        images, labels = library_images(recipe)
        logits = library_network(network).replay(images)[0]
        logits[labels[0]] = -np.inf
        for radius in _RADII:
            name = f"{network}-box-r{radius * PIXEL:g}"
            yield replace(recipe, name=name, radius=radius, logit=int(logits.argmax()))


def _shapes(networks: Mapping[str, Mapping[str, Any]]) -> Iterator[Recipe]:
    """Every combination, with as many images as it is to have, not chosen yet."""

    def make(size: str, network: str, count: int, **options: Any) -> Recipe:
        return Recipe("", size, network, str(networks[network]["data"]), (0,) * count, **options)

    binary: dict[str, Any] = {"scores": "binary"}
    for network in (name for name in networks if networks[name]["data"] != PLANTED):
        hard = network.endswith(("wide", "average", "max"))
        yield make("medium" if hard else "small", network, 1)
        yield make("medium" if hard else "small", network, 2, gate="switch", loss="hinge", **binary)
        yield make("small", network, 10, gate="published", relaxed=True)
    for network, group in DECOUPLED.items():
        yield make("small", network, 5, scored=group, **binary)
    for network in ("digits-dense", "digits-max", "fashion-conv", "fashion-residual"):
        yield make("medium", network, 3, loss="margin", margin=_MARGIN, **binary)
        yield make("medium", network, 5, loss="hinge")
    for network in ("digits-wide", "digits-average", "fashion-wide", "fashion-average", "fashion-residual"):
        yield make("large", network, 20)
        yield make("large", network, 10, gate="switch", **binary)
    for network in ("digits-deep", "fashion-deep"):
        yield make("large", network, 20, gate="published", loss="hinge")
        yield make("medium", network, 3, gate="switch", loss="margin", margin=_MARGIN, **binary)
    yield make("large", "fashion-wide", 20, scored="2", **binary)


def _images(recipe: Recipe, count: int, seed: int) -> tuple[int, ...]:
    """Numbers of the images, by the seed; for the loss margin, of those that the trained network gives that margin."""
    order = np.random.default_rng(seed).permutation(30).tolist()
    if recipe.loss == "margin":
        every = replace(recipe, images=tuple(range(30)))
        images, labels = library_images(every)
        logits = library_network(recipe.network).replay(images)
        right = logits[np.arange(30), labels]
        logits[np.arange(30), labels] = -np.inf
        order = [i for i in order if right[i] - logits[i].max() >= recipe.margin]
    return tuple(sorted(order[:count]))


def _name(recipe: Recipe, count: int) -> str:
    parts = [recipe.network, f"n{count}", recipe.gate, "relaxed" if recipe.relaxed else recipe.scores]
    parts.append(_LETTERS[recipe.loss])
    if recipe.scored != "all":
        parts.append(f"only-{recipe.scored}")
    return "-".join(parts)
