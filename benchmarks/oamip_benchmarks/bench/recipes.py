"""The instances of the benchmark: recipes that rebuild the same mixed-integer program, and what is known of each.

A recipe is a trained network (an ONNX file of the library, by its fingerprint), images by their numbers, and options of
the formulation. ``sha256`` is that of the compiled arrays with the recipe's own bounds and relaxation.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import FORMULATION, IMAGE_OF, Box, front, front_instance
from oamip_model.arrays import open_arrays
from oamip_model.errors import CheckError, InputError
from oamip_model.formulation.settings import validity_of
from oamip_model.records import checked, read_json
from oamip_model.solving.protocol import Arrays

LIBRARY = Path(__file__).parent / "library"
SIZES = ("small", "medium", "large")
PLANTED = "planted"
"""The data set of networks whose largest logit is known from how they were made."""
PIXEL = 16.0
"""Pixels of the library are whole numbers from 0 to 16, divided by this: exact in binary."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Best:
    """The best that is known of an instance: objective of a checked solution, lower bound, and who found each."""

    objective: float | None = None
    bound: float | None = None
    objective_by: str = ""
    bound_by: str = ""


@dataclass(frozen=True)
class Recipe:
    """One instance.

    size: small, medium or large; images: numbers in the library's images of ``data``; scored: "all" groups, or the one
    score group whose decoupled subproblem this is (all others as trained, the layers before it folded into data, the
    layers after it without scores: the head ``rest``, mathematics:layer-3); sha256: of the compiled arrays; shape:
    rows, columns, binaries and non-zeros. With a ``radius`` it is of the family of boxes: the largest ``logit`` of the
    network over the images within the radius of the one image; its objective is minus that logit, and it has no scores.
    The other fields are those of :class:`oamip_model.Formulation`.
    """

    name: str
    size: str
    network: str
    data: str
    images: tuple[int, ...]
    scored: str = "all"
    gate: str = "subtractive"
    scores: str = "continuous"
    relaxed: bool = False
    loss: str = "cross-entropy"
    sparsity: str = "mean"
    weight: float = 5.0
    margin: float = 1.0
    sha256: str = ""
    shape: tuple[int, int, int, int] = (0, 0, 0, 0)
    best: Best = Best()
    classified: str = ""
    radius: float | None = None
    logit: int = 0

    @property
    def family(self) -> str:
        """What is asked: joint or decoupled scores, or the largest logit over a box."""
        return "box" if self.radius is not None else "joint" if self.scored == "all" else "decoupled"

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which instances are chosen: family, data set, network, and the options of the program.

        Example:
            >>> Recipe("a", "small", "digits-conv", "digits", (0,), scores="binary").tags
            ('joint', 'digits', 'conv', 'subtractive', 'binary', 'cross-entropy', 'mean')
        """
        found = [self.family, *self.network.split("-")[:2]]
        if self.radius is None:
            found += [self.gate, self.scores, *(["relaxed"] if self.relaxed else []), self.loss, self.sparsity]
        return tuple(found)

    def settings(self, relaxation: str = "big-m") -> om.Formulation:
        """The choices that fix the program."""
        if self.radius is not None:
            return replace(FORMULATION, relaxation=relaxation)
        return om.Formulation(
            gate=self.gate, relaxation=relaxation, scores=self.scores, relaxed=self.relaxed, loss=self.loss,
            sparsity=self.sparsity, weight=self.weight, margin=self.margin,
        )  # fmt: skip

    def takes(self, bounds: str) -> bool:
        """Whether the program may be built with these bounds: the published gate is defined by interval bounds."""
        return self.gate != "published" or bounds == "interval"

    def program(self, bounds: str, relaxation: str) -> str:
        """Name of the program whose optimum is asked: bounds and relaxation count only where ReLU states are relaxed.

        Example:
            >>> Recipe("a", "small", "n", "digits", (0,)).program("lp", "big-m")
            'a'
        """
        return f"{self.name}/{bounds}/{relaxation}" if self.relaxed else self.name


@dataclass(frozen=True)
class Program:
    """A recipe, rebuilt: network (that of the subproblem), images (n, *input_shape), labels, and the Pyomo instance."""

    recipe: Recipe
    network: om.Network
    images: Array
    labels: NDArray[np.int64]
    instance: Any
    arrays: Arrays
    bounds_seconds: float
    build_seconds: float


@cache
def load_library(folder: Path = LIBRARY) -> dict[str, Recipe]:
    """The recipes of the library by name, in its order.

    Example:
        >>> {recipe.size for recipe in load_library().values()} <= set(SIZES)
        True
    """
    return {recipe.name: recipe for recipe in read_library(folder)["instances"]}


class Library(TypedDict):
    """What instances.json holds: what is known of each network by its name, and the recipes."""

    networks: dict[str, dict[str, Any]]
    instances: list[Recipe]


def read_library(folder: Path) -> Library:
    """The record of a library. Raises InputError for a file that is none."""
    path = folder / "instances.json"
    where = f"library: {path}"
    found: Library = checked(Library, read_json(path, where), where)
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises InputError where the library has none."""
    library = load_library()
    if name not in library:
        raise InputError(f"instance: got {name!r}, accepted are the names that `oamip bench list` prints")
    return library[name]


def choose_recipes(sizes: Sequence[str] = (), instances: Sequence[str] = (), tags: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of these sizes and names that have every one of the tags, all where none are given.

    Raises InputError for a name or a tag that is unknown.
    """
    for name in instances:
        find_recipe(name)
    known = sorted({tag for recipe in load_library().values() for tag in recipe.tags})
    for tag in tags:
        if tag not in known:
            raise InputError(f"tag: got {tag!r}, accepted are {', '.join(known)}")
    return [
        recipe
        for recipe in load_library().values()
        if (not instances or recipe.name in instances)
        and (not sizes or recipe.size in sizes)
        and set(tags) <= set(recipe.tags)
    ]


def features_of(recipe: Recipe, folder: Path = LIBRARY) -> dict[str, float]:
    """Numbers that describe an instance: of its program, and of its network."""
    rows, columns, binaries, entries = recipe.shape
    known = read_library(folder)["networks"][recipe.network]
    return {
        "rows": rows, "columns": columns, "binaries": binaries, "non_zeros": entries,
        "density": entries / (rows * columns) if rows and columns else 0.0, "images": len(recipe.images),
        "layers_with_units": len(known["units"]), "units": sum(known["units"].values()),
        "parameters": known["parameters"], "inputs": int(np.prod(known["input_shape"])),
    }  # fmt: skip


@cache
def _images(folder: Path) -> dict[str, NDArray[Any]]:
    path = folder / "images.npz"
    with open_arrays(path, f"library: {path}") as file:
        return {name: file.read(name) for name in file.names}


def library_images(recipe: Recipe, folder: Path = LIBRARY) -> tuple[Array, NDArray[np.int64]]:
    """Images (n, *input_shape) and labels (n,) of a recipe; planted networks have the middle of the unit box."""
    if recipe.data == PLANTED:
        shape = read_library(folder)["networks"][recipe.network]["input_shape"]
        return np.full((len(recipe.images), *shape), 0.5), np.zeros(len(recipe.images), dtype=np.int64)
    archive = _images(folder)
    rows = list(recipe.images)
    pixels = archive[f"{recipe.data}_images"][rows].astype(np.float64)[:, None] / PIXEL
    return pixels, archive[f"{recipe.data}_labels"][rows].astype(np.int64)


@cache
def library_network(name: str, folder: Path = LIBRARY) -> om.Network:
    """A network of the library. Raises CheckError where its weights are not those that the recipes were made for."""
    network = om.read_network(folder / f"{name}.onnx")
    known = read_library(folder)["networks"][name]["fingerprint"]
    if network.fingerprint != known:
        raise CheckError(
            f"network: {name}.onnx has fingerprint {network.fingerprint}, the library was made for {known}"
        )
    return network


def only_group(network: om.Network, name: str) -> om.Network:
    """The network in which only the units of one score group carry scores.

    Raises InputError where the network has no such group.
    """
    names = [group.name for group in network.groups]
    if name not in names:
        raise InputError(f"scored: got {name!r}, accepted are all, {', '.join(names)}")
    kept = names.index(name)
    layers = tuple(
        replace(layer, group=0) if layer.group == kept else replace(layer, group=None, units=None)
        for layer in network.layers
    )
    return replace(network, layers=layers, groups=(network.groups[kept],))


def box_of(recipe: Recipe, folder: Path = LIBRARY) -> Box:
    """The box of a recipe of the family of boxes."""
    image = library_images(recipe, folder)[0][0]
    return Box.around(image, float(recipe.radius or 0.0), recipe.logit)


def build_program(
    recipe: Recipe, bounds: str = "interval", relaxation: str = "big-m", folder: Path = LIBRARY
) -> Program:
    """The program of a recipe, with the seconds that bounds and building (Pyomo instance and arrays) took.

    Raises InputError for bounds or a relaxation that the recipe cannot take.
    """
    if not recipe.takes(bounds):
        raise InputError(f"bounds: {recipe.name} has the gate published, which is defined by interval bounds")
    network = library_network(recipe.network, folder)
    if recipe.scored != "all":
        network = only_group(network, recipe.scored)
    images, labels = library_images(recipe, folder)
    if recipe.radius is not None:
        network, images, labels = front(network, box_of(recipe, folder)), IMAGE_OF, np.zeros(1, dtype=np.int64)
    settings = recipe.settings(relaxation)
    began = time.perf_counter()
    epsilon = float(settings.epsilon or 0.0)
    found = om.compute_bounds(network, images, bounds, validity=validity_of(recipe.gate), epsilon=epsilon)
    bounded = time.perf_counter()
    if recipe.radius is not None:
        instance = front_instance(network, recipe.logit, found, relaxation)
    else:
        instance = om.build_instance(network, images, labels, settings, bounds=found)
    arrays = om.compile_arrays(instance)
    built = time.perf_counter()
    return Program(recipe, network, images, labels, instance, arrays, bounded - began, built - bounded)


def arrays_hash(arrays: Arrays) -> str:
    """SHA-256 of a program's arrays: equal if and only if every coefficient, bound and type is, bit for bit.

    The order in which the entries of a row are kept does not count, nor does an entry of 0.
    """
    digest = hashlib.sha256()
    matrix = arrays.matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    parts: list[tuple[Any, str]] = [
        (matrix.indptr, "<i8"), (matrix.indices, "<i8"), (matrix.data, "<f8"), (arrays.cost, "<f8"),
        (arrays.lower, "<f8"), (arrays.upper, "<f8"), (arrays.row_lower, "<f8"), (arrays.row_upper, "<f8"),
        (arrays.integral, "<i8"), ([arrays.offset, arrays.sense], "<f8"),
    ]  # fmt: skip
    for values, kind in parts:
        # Adding 0 makes the two zeros of floating point one.
        digest.update((np.asarray(values).astype(kind) + np.zeros((), kind)).tobytes())
        digest.update(b"|")
    return digest.hexdigest()
