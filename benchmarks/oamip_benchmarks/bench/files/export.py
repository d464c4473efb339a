"""Writes instances as .mps.gz and .lp.gz files with Pyomo's symbolic labels.

The loss "cross-entropy" is not linear. Its files hold the tangents that solve the continuous
relaxation, and no others. They are ordinary mixed-integer programs, whose optimum is a lower bound
of the instance's. With
the losses "hinge" and "margin" file and instance have the same optimum.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pyomo.environ as pyo

import oamip_model as om
from oamip_benchmarks.bench.programs import Program, build_program
from oamip_benchmarks.bench.recipes import Recipe
from oamip_model.errors import InputError, SolverError
from oamip_model.files import alone, replacing
from oamip_model.records import OPEN, Matches, checked, read_json
from oamip_model.runs.folders import make_folder
from oamip_model.scratch import scratch_folder

FORMATS = ("mps", "lp")
INDEX = "index.json"
_COMMENT = {"mps": "* {}\n", "lp": "\\* {} *\\\n"}


class _Entry(TypedDict):
    """An instance in an index, as far as it is read again."""

    instance: str
    files: dict[
        Annotated[str, Matches(r"[\w.+-]+\.(mps|lp)\.gz", "the name of a file in the same folder")],
        Annotated[str, Matches("[0-9a-f]{64}", "a SHA-256")],
    ]


class _Index(TypedDict):
    instances: list[Annotated[_Entry, OPEN]]


@dataclass(frozen=True)
class Tangents:
    """The tangents of an instance's loss beyond the first ones.

    Parameters
    ----------
    count : int
        How many.
    settled : bool
        Whether objective and bound of the continuous relaxation met within the tolerance.
    solver : str
        The solver of the relaxation, "" where the loss needs none.
    """

    count: int = 0
    settled: bool = True
    solver: str = ""


def add_tangents(instance: Any, tolerance: float = 1e-4, time_limit: float | None = None) -> Tangents:
    """Add to an instance the tangents that its continuous relaxation needs.

    They come from rounds of HiGHS. The instance is otherwise unchanged.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel
        The program.
    tolerance : float, default 1e-4
        Relative gap of the relaxation at which no more are needed.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    Tangents
        What was added.

    Raises
    ------
    KeyboardInterrupt
        Where the rounds were interrupted.
    SolverError
        Where they failed.
    """
    if not hasattr(instance, "loss_tangents"):
        return Tangents()
    binary = [data for data in instance.component_data_objects(pyo.Var) if data.is_binary()]
    for data in binary:
        data.domain = pyo.UnitInterval
    try:
        found = om.solve_instance(instance, om.Solver("highs", tolerance=tolerance, time_limit=time_limit))
    finally:
        for data in binary:
            data.domain = pyo.Binary
    if found.interrupted:
        raise KeyboardInterrupt
    if found.status.value not in ("optimal", "feasible", "no solution"):
        raise SolverError(f"tangents: the relaxation ended as {found.status.value}: {found.message}")
    return Tangents(found.cuts, found.status.value == "optimal", f"{found.solver} {found.version}")


def write_file(instance: Any, path: Path, comments: Sequence[str] = ()) -> None:
    """Write a Pyomo model to a file ending in .mps.gz or .lp.gz.

    The same model gives the same bytes.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel
        The program.
    path : Path
        The file.
    comments : sequence of str, optional
        Lines that stand first in the file.

    Raises
    ------
    InputError
        For another ending, or where the file cannot be written.
    """
    kind = path.suffixes[-2][1:] if len(path.suffixes) > 1 and path.suffix == ".gz" else ""
    if kind not in FORMATS:
        raise InputError(f"file: {path} is not a name ending in {' or '.join(f'.{kind}.gz' for kind in FORMATS)}")
    with scratch_folder("export") as scratch:
        plain = scratch / f"model.{kind}"
        instance.write(str(plain), io_options={"symbolic_solver_labels": True})
        with (
            replacing(path) as temporary,
            temporary.open("wb") as raw,
            # No name and no time in the header, which would make the bytes differ.
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
            plain.open("rb") as text,
        ):
            packed.write("".join(_COMMENT[kind].format(line) for line in comments).encode())
            shutil.copyfileobj(text, packed)


def optimum_is(recipe: Recipe) -> str:
    """What the optimum of a recipe's files is."""
    if recipe.loss == "cross-entropy":
        return "a lower bound of the instance's: the loss is cross-entropy, of which these are tangents"
    return "the instance's"


def export(
    recipes: Sequence[Recipe],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    *,
    time_limit: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Write each recipe's program in each format, and an index with hashes.

    An index that is there already keeps its entries of other instances.

    Parameters
    ----------
    recipes : sequence of Recipe
        The programs.
    folder : Path
        Where the files are written.
    formats : sequence of str, optional
        Endings of the files, both unless given.
    time_limit : float, optional
        Seconds for the tangents of one instance.
    progress : callable, optional
        Is called with the number of instances done, of all instances, and the name of the next.

    Returns
    -------
    list of dict
        The entries of the index that were written.

    Raises
    ------
    InputError
        For a folder that cannot be written, or an index that is none.
    """
    make_folder(folder)
    with alone(folder, "out"):
        return _export_all(recipes, folder, formats, time_limit, progress)


def _export_all(
    recipes: Sequence[Recipe],
    folder: Path,
    formats: Sequence[str],
    time_limit: float | None,
    progress: Callable[[int, int, str], None] | None,
) -> list[dict[str, Any]]:
    entries = read_index(folder) if (folder / INDEX).exists() else {}
    for number, recipe in enumerate(recipes, 1):
        entries[recipe.name] = _export(build_program(recipe), folder, formats, time_limit)
        with replacing(folder / INDEX) as temporary:
            temporary.write_text(json.dumps({"instances": list(entries.values())}, indent=1) + "\n", encoding="utf-8")
        if progress is not None:
            progress(number, len(recipes), recipe.name)
    return [entries[recipe.name] for recipe in recipes]


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of a folder's index, by instance.

    Raises
    ------
    InputError
        Where there is no index, or the file is another one.
    """
    path = folder / INDEX
    if not path.exists():
        raise InputError(f"folder: {folder} has no {INDEX}, accepted is what `oamip bench export` wrote")
    where = f"folder: {path}"
    index: dict[str, Any] = checked(dict[str, Any], read_json(path, where), where)
    checked(_Index, index, f"{where} is not an index of `oamip bench export`: it")
    return {entry["instance"]: entry for entry in index["instances"]}


def _export(program: Program, folder: Path, formats: Sequence[str], time_limit: float | None) -> dict[str, Any]:
    recipe = program.recipe
    added = add_tangents(program.instance, time_limit=time_limit)
    arrays = om.compile_arrays(program.instance)
    rows, columns = arrays.matrix.shape
    entry: dict[str, Any] = {
        "instance": recipe.name, "size": recipe.size, "rows": rows, "columns": columns,
        "integer_columns": int(arrays.integral.sum()), "non_zeros": int(arrays.matrix.nnz),
        "optimum_is": optimum_is(recipe), "tangents": added.count, "tangents_settled": added.settled,
        "tangents_by": added.solver, "recipe_sha256": recipe.sha256, "files": {},
    }  # fmt: skip
    comments = [f"Instance {recipe.name} of oamip_model's benchmark.", f"The optimum is {entry['optimum_is']}."]
    if added.solver:
        how = "that settle" if added.settled else "found within the time limit for"
        comments.append(f"{added.count} tangents {how} the continuous relaxation, by {added.solver}.")
    for kind in formats:
        path = folder / f"{recipe.name}.{kind}.gz"
        write_file(program.instance, path, comments)
        entry["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return entry
