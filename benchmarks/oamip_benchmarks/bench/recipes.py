"""The instances of the benchmark as recipes, with what is known of each.

A recipe is a trained network (an ONNX file of the library, by its fingerprint), images by their numbers, and options of
the formulation. ``sha256`` is that of the compiled arrays with the recipe's own bounds and relaxation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import formulation
from oamip_model.arrays import open_arrays
from oamip_model.errors import InputError
from oamip_model.records import checked, read_json

LIBRARY = Path(__file__).parent / "library"
SIZES = ("small", "medium", "large")
PLANTED = "planted"
"""The data set of networks whose largest logit is known from how they were made."""
PIXEL = 16.0
"""Pixels of the library are whole numbers from 0 to 16, divided by this: exact in binary."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Best:
    """The best known objective and lower bound of an instance, and who found each.

    The objective is that of a checked solution.
    """

    objective: float | None = None
    bound: float | None = None
    objective_by: str = ""
    bound_by: str = ""


@dataclass(frozen=True)
class Recipe:
    """One instance; the other fields are those of :class:`oamip_model.Formulation`.

    Parameters
    ----------
    size : str
        "small", "medium" or "large".
    images : tuple of int
        Numbers in the library's images of ``data``.
    scored : str
        "all" groups, or the one score group whose decoupled subproblem this is. All others are as
        trained, the layers before it folded into data, the layers after it without scores
        (mathematics:layer-3).
    sha256 : str
        Hash of the compiled arrays.
    shape : tuple of int
        Rows, columns, binaries and non-zeros.
    radius : float, optional
        Half width of the box of images in the family of boxes. Its objective is minus the largest
        logit over the box around the one image, and it has no scores.
    logit : int
        The logit of a box.
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
        """Words by which instances are chosen.

        They are of the family, the data set, the network, and the options of the program.

        Examples
        --------
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
            return formulation(relaxation)
        return om.Formulation(
            gate=self.gate, relaxation=relaxation, scores=self.scores, relaxed=self.relaxed, loss=self.loss,
            sparsity=self.sparsity, weight=self.weight, margin=self.margin,
        )  # fmt: skip

    def takes(self, bounds: str) -> bool:
        """Whether the program may be built with these bounds.

        The published gate is defined by interval bounds.
        """
        return self.gate != "published" or bounds == "interval"

    def program(self, bounds: str, relaxation: str) -> str:
        """Name of the program whose optimum is asked.

        Bounds and relaxation count only where ReLU states are relaxed.

        Examples
        --------
        >>> Recipe("a", "small", "n", "digits", (0,)).program("lp", "big-m")
        'a'
        """
        return f"{self.name}/{bounds}/{relaxation}" if self.relaxed else self.name


@cache
def load_library(folder: Path = LIBRARY) -> dict[str, Recipe]:
    """The recipes of the library by name, in its order.

    Examples
    --------
    >>> {recipe.size for recipe in load_library().values()} <= set(SIZES)
    True
    """
    return {recipe.name: recipe for recipe in read_library(folder)["instances"]}


class Library(TypedDict):
    """The networks and recipes in instances.json.

    Parameters
    ----------
    networks : dict
        What is known of each network, by its name.
    instances : list of Recipe
        The recipes.
    """

    networks: dict[str, dict[str, Any]]
    instances: list[Recipe]


def read_library(folder: Path) -> Library:
    """The record of a library.

    Raises
    ------
    InputError
        For a file that is none.
    """
    path = folder / "instances.json"
    where = f"library: {path}"
    found: Library = checked(Library, read_json(path, where), where)
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    InputError
        Where the library has none.
    """
    library = load_library()
    if name not in library:
        raise InputError(f"instance: got {name!r}, accepted are the names that `oamip bench list` prints")
    return library[name]


def choose_recipes(sizes: Sequence[str] = (), instances: Sequence[str] = (), tags: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of these sizes and names that have every one of the tags.

    All are, where none are given.

    Raises
    ------
    InputError
        For a name or a tag that is unknown.
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
    """Images (n, *input_shape) and labels (n,) of a recipe.

    Planted networks have the middle of the unit box.
    """
    if recipe.data == PLANTED:
        shape = read_library(folder)["networks"][recipe.network]["input_shape"]
        return np.full((len(recipe.images), *shape), 0.5), np.zeros(len(recipe.images), dtype=np.int64)
    archive = _images(folder)
    rows = list(recipe.images)
    pixels = archive[f"{recipe.data}_images"][rows].astype(np.float64)[:, None] / PIXEL
    return pixels, archive[f"{recipe.data}_labels"][rows].astype(np.int64)
