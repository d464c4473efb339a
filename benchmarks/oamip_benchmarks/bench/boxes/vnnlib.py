"""Box instances for verifiers: the network as ONNX, and two VNN-LIB properties.

A verifier decides whether some image of a box has a property. The largest logit v of an instance becomes two such
questions, each a file. Is there an image whose logit is at least v - step (sat)? Is there one with v + step (unsat)?
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from oamip_benchmarks.bench.boxes.model import Box
from oamip_benchmarks.bench.programs import box_of, library_network
from oamip_benchmarks.bench.recipes import LIBRARY, Recipe
from oamip_model.errors import InputError
from oamip_model.files import alone, replacing
from oamip_model.runs.folders import make_folder

STEP = 1e-3
"""How far from the largest logit the questions are, relative to 1 + its size: verifiers compute in single precision."""
INDEX = "index.json"
TIMEOUT = 300


def property_text(box: Box, classes: int, threshold: float, comments: Sequence[str] = ()) -> str:
    """The VNN-LIB text that asks for an image of the box with at least this logit.

    Numbers are in full, without exponents, which not every reader knows.

    Examples
    --------
    >>> text = property_text(Box(np.zeros(1), np.ones(1), logit=0), 2, 1e-7)
    >>> text.splitlines()[-1]
    '(assert (>= Y_0 0.0000001))'
    """
    lines = [f"; {line}" for line in comments]
    lines += [f"(declare-const X_{k} Real)" for k in range(box.lower.size)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(classes)]
    for k, (low, high) in enumerate(zip(box.lower.ravel().tolist(), box.upper.ravel().tolist(), strict=True)):
        lines += [f"(assert (>= X_{k} {_plain(low)}))", f"(assert (<= X_{k} {_plain(high)}))"]
    lines.append(f"(assert (>= Y_{box.logit} {_plain(threshold)}))")
    return "\n".join(lines) + "\n"


def _plain(value: float) -> str:
    text = format(Decimal(repr(float(value))), "f")
    return text if "." in text else f"{text}.0"


def export_vnnlib(recipes: Sequence[Recipe], folder: Path, step: float = STEP) -> list[dict[str, Any]]:
    """Write networks and properties, and an index with the answers.

    ``instances.csv`` has the columns of the competitions of verifiers: network, property, seconds.

    Parameters
    ----------
    recipes : sequence of Recipe
        Instances of the family of boxes.
    folder : Path
        Where the files go.
    step : float
        How far the questions are from the largest logit.

    Returns
    -------
    list of dict
        The entries of the index.

    Raises
    ------
    InputError
        For an instance that is no box, or whose largest logit is not known to within a tenth of the
        step.
    """
    for recipe in recipes:
        best = recipe.best
        if recipe.radius is None:
            raise InputError(f"instance: {recipe.name} is not of the family of boxes, which alone goes to VNN-LIB")
        width = _step(recipe, step)
        if best.objective is None or best.bound is None or best.objective - best.bound > width / 10:
            raise InputError(f"instance: the largest logit of {recipe.name} is not known to {width / 10:.2g}")
    make_folder(folder)
    entries = []
    with alone(folder, "out"):
        for recipe in recipes:
            entries.append(_export(recipe, folder, _step(recipe, step)))
        with replacing(folder / INDEX) as temporary:
            temporary.write_text(json.dumps({"instances": entries}, indent=1) + "\n", encoding="utf-8")
        with replacing(folder / "instances.csv") as temporary, temporary.open("w", newline="") as stream:
            rows = [[entry["network"], name, TIMEOUT] for entry in entries for name in entry["properties"]]
            csv.writer(stream, lineterminator="\n").writerows(rows)
    return entries


def _step(recipe: Recipe, step: float) -> float:
    return step * (1 + abs(recipe.best.objective or 0.0))


def _export(recipe: Recipe, folder: Path, step: float) -> dict[str, Any]:
    largest = -float(recipe.best.objective or 0.0)
    network, box = library_network(recipe.network), box_of(recipe)
    name = f"{recipe.network}.onnx"
    with replacing(folder / name) as temporary:
        shutil.copyfile(LIBRARY / name, temporary)
    properties = {}
    for answer, threshold in (("sat", largest - step), ("unsat", largest + step)):
        path = folder / f"{recipe.name}-{answer}.vnnlib"
        comments = [
            f"Instance {recipe.name} of oamip_model's benchmark; the network is {name}, X_k its inputs in C order.",
            f"The largest Y_{box.logit} over the box is {largest!r}, so that the answer is {answer}.",
        ]
        with replacing(path) as temporary:
            text = property_text(box, network.classes, threshold, comments)
            temporary.write_text(text, encoding="utf-8")
        properties[path.name] = {
            "answer": answer, "threshold": threshold, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }  # fmt: skip
    return {
        "instance": recipe.name, "network": name, "input_shape": list(np.shape(box.lower)), "logit": box.logit,
        "largest": largest, "properties": properties,
    }  # fmt: skip
