"""Makes the benchmark's library: trained networks, chosen images, and recipes.

    python -m oamip_benchmarks.make_instances networks     # images.npz and NETWORK.onnx, from scikit-learn's digits and
                                                           # the Fashion-MNIST subset of this package
    python -m oamip_benchmarks.make_instances planted      # the networks with a planted optimum
    python -m oamip_benchmarks.make_instances recipes      # instances.json: shapes and hashes; keeps what is known
    python -m oamip_benchmarks.make_instances best RUN     # takes better objectives and bounds from a run's folder

Everything is seeded. Weights are rounded to multiples of 1/1024 after the training, and pixels to
sixteenths. So sums over the first layers are exact in double precision, whatever the order in which
a BLAS adds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import oamip_model as om
from oamip_benchmarks.bench.boxes.planted import planted
from oamip_benchmarks.bench.programs import arrays_hash, build_program
from oamip_benchmarks.bench.recipes import LIBRARY, PIXEL, PLANTED, SIZES, Library, Recipe, read_library
from oamip_benchmarks.bench.rows import Solve, read_rows
from oamip_benchmarks.instance_networks import PLANTED_SHAPES, SEED, architectures
from oamip_benchmarks.instance_plan import plan
from oamip_model.files import replacing

PER_CLASS = 3
"""Images of each class and data set in the library."""
SMALL = 10.0
"""Seconds in which HiGHS solves a small instance."""
STEP = 1024.0
"""Weights are whole multiples of 1 / STEP."""


def sources() -> dict[str, om.Dataset]:
    """The two data sets with pixels rounded to sixteenths."""
    found = {"digits": om.load_dataset("digits"), "fashion": om.load_dataset(split="all")}
    return {
        name: om.Dataset(np.round(data.images * PIXEL) / PIXEL, data.labels, data.source, 10, data.indices)
        for name, data in found.items()
    }


def make_networks(folder: Path) -> None:
    """Train every network, and write it and the images into the folder."""
    torch.set_num_threads(1)
    data = sources()
    archive: dict[str, NDArray[Any]] = {}
    networks: dict[str, Any] = {}
    for name, source in data.items():
        chosen = om.choose_images(source, n=10 * PER_CLASS, seed=SEED)
        archive[f"{name}_images"] = np.round(chosen.images[:, 0] * PIXEL).astype(np.uint8)
        archive[f"{name}_labels"] = chosen.labels.astype(np.uint8)
        archive[f"{name}_indices"] = np.asarray(chosen.indices).astype(np.uint16)
    with replacing(folder / "images.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **archive)  # type: ignore[arg-type]
    for name, (source_name, module) in architectures().items():
        source = data[source_name]
        om.train(module, source.images, source.labels, epochs=60, optimizer="adam", learning_rate=3e-3,
                 weight_decay=1e-4, seed=SEED, threads=1)  # fmt: skip
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.round(parameter * STEP) / STEP)
        shape = tuple(source.images.shape[1:])
        om.save_module(module, folder / f"{name}.onnx", shape)
        network = om.read_network(folder / f"{name}.onnx")
        right = (network.replay(source.images).argmax(1) == source.labels).mean()
        networks[name] = {
            "fingerprint": network.fingerprint, "data": source_name, "input_shape": list(shape),
            "parameters": network.parameters, "units": {g.name: g.size for g in network.groups},
            "accuracy on the training images": round(float(right), 4),
        }  # fmt: skip
        print(f"{name}: {network.parameters} parameters, accuracy {right:.3f}", file=sys.stderr)
    _write(folder, networks, _read(folder)["instances"])


def make_planted(folder: Path) -> None:
    """Write the networks with a planted optimum, and what it is."""
    networks = _read(folder)["networks"]
    for name, (inputs, directions, bends) in PLANTED_SHAPES.items():
        made = planted(inputs, directions, bends, SEED)
        om.save_module(made.module, folder / f"{name}.onnx", (inputs,))
        network = om.read_network(folder / f"{name}.onnx")
        if float(network.replay(made.at[None])[0, 0]) != made.value:
            raise RuntimeError(f"{name}: the planted image does not have the planted logit")
        networks[name] = {
            "fingerprint": network.fingerprint, "data": PLANTED, "input_shape": [inputs],
            "parameters": network.parameters, "units": {g.name: g.size for g in network.groups},
            "planted": made.value, "at": made.at.tolist(),
        }  # fmt: skip
    _write(folder, networks, _read(folder)["instances"])


def make_recipes(folder: Path) -> None:
    """Build every planned instance, and write its shape and hash.

    What is known of an unchanged instance is kept.
    """
    known = {recipe.name: recipe for recipe in _read(folder)["instances"]}
    found = []
    for recipe in plan(_read(folder)["networks"]):
        program = build_program(recipe, folder=folder)
        arrays = program.arrays
        rows, columns = arrays.matrix.shape
        shape = (rows, columns, int(arrays.integral.sum()), int(arrays.matrix.nnz))
        made = replace(recipe, sha256=arrays_hash(arrays), shape=shape)
        before = known.get(recipe.name)
        if before is not None and before.sha256 == made.sha256:
            best = made.best if made.data == PLANTED else before.best
            made = replace(made, best=best, classified=before.classified, size=before.size)
        found.append(made)
        print(f"{made.name}: rows, columns, binaries, non-zeros {shape}", file=sys.stderr)
    _write(folder, _read(folder)["networks"], found)


def take_best(folder: Path, run: Path) -> None:
    """Take better objectives and bounds from a run, and class the instances by it.

    Rows count whose solution passed its check. Small ones are those that HiGHS proved within SMALL
    seconds. Medium ones took more, or were planned as small and not proved. The others keep the
    planned size. ``classified`` says so.
    """
    recipes = {recipe.name: recipe for recipe in _read(folder)["instances"]}
    for row in read_rows(run):
        recipe = recipes[row["instance"]]
        # A key holds the hash of the arrays: rows of an instance as it was before say nothing.
        if row["key"] != Solve(**{field.name: row[field.name] for field in fields(Solve)}).key:
            print(f"{row['instance']}: the row is of another program, left out", file=sys.stderr)
            continue
        if row["bounds"] != "interval" or row["relaxation"] != "big-m" or not (row["check"] or {}).get("passed"):
            continue
        who = f"{row['solver']} {row['version']}, {row['time_limit']:g} s"
        best = recipe.best
        if row["objective"] is not None and (best.objective is None or row["objective"] < best.objective - 1e-9):
            best = replace(best, objective=row["objective"], objective_by=who)
        if row["bound"] is not None and (best.bound is None or row["bound"] > best.bound + 1e-9):
            best = replace(best, bound=row["bound"], bound_by=who)
        recipes[recipe.name] = replace(_classed(recipe, row), best=best)
    _write(folder, _read(folder)["networks"], list(recipes.values()))


def _classed(recipe: Recipe, row: dict[str, Any]) -> Recipe:
    if row["solver"] != "highs":
        return recipe
    seconds, who = row["wall_seconds"], f"{row['solver']} {row['version']}"
    if row["status"] == "optimal":
        size = "small" if seconds <= SMALL else "medium"
        return replace(recipe, size=size, classified=f"solved by {who} in {seconds:.1f} s")
    if recipe.classified.startswith("solved"):
        return recipe
    size = "medium" if recipe.size == "small" else recipe.size
    return replace(recipe, size=size, classified=f"not solved by {who} in {row['time_limit']:g} s, nor run for an hour")


def _read(folder: Path) -> Library:
    return read_library(folder) if (folder / "instances.json").exists() else {"networks": {}, "instances": []}


def _write(folder: Path, networks: dict[str, Any], instances: Sequence[Recipe]) -> None:
    ordered = sorted(instances, key=lambda e: (SIZES.index(e.size), e.shape[3], e.name))
    with replacing(folder / "instances.json") as temporary:
        lines = [json.dumps(asdict(recipe)) for recipe in ordered]
        text = json.dumps(networks, indent=1)
        temporary.write_text(
            f'{{"networks": {text},\n"instances": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8"
        )


def main(arguments: list[str]) -> None:
    """Run one of the four steps."""
    if arguments == ["networks"]:
        make_networks(LIBRARY)
    elif arguments == ["planted"]:
        make_planted(LIBRARY)
    elif arguments == ["recipes"]:
        make_recipes(LIBRARY)
    elif len(arguments) == 2 and arguments[0] == "best":
        take_best(LIBRARY, Path(arguments[1]))
    else:
        sys.exit("usage: python -m oamip_benchmarks.make_instances networks | planted | recipes | best RUN")


if __name__ == "__main__":
    main(sys.argv[1:])
