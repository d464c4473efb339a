"""Builds the programs of recipes, as Pyomo instances and arrays with their hash."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import IMAGE_OF, Box, front, front_instance
from oamip_benchmarks.bench.recipes import LIBRARY, Array, Recipe, library_images, read_library
from oamip_model.errors import CheckError, InputError
from oamip_model.formulation.settings import validity_of
from oamip_model.solving.protocol import Arrays


@dataclass(frozen=True)
class Program:
    """A recipe's program, rebuilt as a Pyomo instance and as arrays.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    network : Network
        The network of the subproblem.
    images : Array
        Images, (n, *input_shape).
    labels : Array
        Their labels, (n,).
    instance : pyomo.environ.ConcreteModel
        The program.
    arrays : Arrays
        The same program, compiled.
    bounds_seconds, build_seconds : float
        Seconds of the bounds, and of the instance with its arrays.
    """

    recipe: Recipe
    network: om.Network
    images: Array
    labels: NDArray[np.int64]
    instance: Any
    arrays: Arrays
    bounds_seconds: float
    build_seconds: float


@cache
def library_network(name: str, folder: Path = LIBRARY) -> om.Network:
    """A network of the library, read from its file.

    Raises
    ------
    CheckError
        Where its weights are not those that the recipes were made for.
    """
    network = om.read_network(folder / f"{name}.onnx")
    known = read_library(folder)["networks"][name]["fingerprint"]
    if network.fingerprint != known:
        raise CheckError(
            f"network: {name}.onnx has fingerprint {network.fingerprint}, the library was made for {known}"
        )
    return network


def only_group(network: om.Network, name: str) -> om.Network:
    """The network in which only the units of one score group carry scores.

    Raises
    ------
    InputError
        Where the network has no such group.
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
    """The program of a recipe, built with these bounds and this relaxation.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    bounds : str, default "interval"
        The method of bounds.
    relaxation : str, default "big-m"
        The relaxation of the ReLU.
    folder : Path, optional
        The library.

    Returns
    -------
    Program
        The program, with the seconds of its bounds and of its build.

    Raises
    ------
    InputError
        For bounds or a relaxation that the recipe cannot take.
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
    """SHA-256 of a program's arrays: every coefficient, bound and type, bit for bit.

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
