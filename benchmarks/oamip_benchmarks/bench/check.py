"""Checks a claimed solution in exact arithmetic, and by replay in the network."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from oamip_benchmarks.bench.programs import Program
from oamip_benchmarks.bench.rows import Row
from oamip_model.files import replacing
from oamip_model.formulation import gate_scale
from oamip_model.solving import gated_logits
from oamip_model.solving.protocol import Arrays

Array = NDArray[np.float64]
ROWS = 2e-6
"""Largest violation of a row or a bound, relative to 1 + |its limit|."""
INTEGRAL = 1e-6
OBJECTIVE = 1e-8
"""Largest difference of the objective from the claimed one, and of an image's loss, relative to 1 + |it|."""
REPLAY = 1e-4
"""Largest difference of a logit between program and network, relative to the largest logit (at least 1)."""


def point_of(instance: Any) -> Array:
    """The values of an instance's variables, in the order of its compiled arrays.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel
        A program that was solved.

    Returns
    -------
    Array
        Values of the columns, (columns,).
    """
    components = instance.component_objects(pyo.Var, descend_into=True)
    return np.array([data.value for component in components for data in component.values()], dtype=np.float64)


def save_point(path: Path, x: Array, logits: Array | None) -> None:
    """Write a point and its logits to an .npz file."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, x=x, logits=np.zeros(0) if logits is None else logits)


def exact_violation(arrays: Arrays, x: Array) -> tuple[float, float]:
    """The largest violation of a row or bound by a point, and of integrality.

    Sums are exact: every float is a rational number, and rows are added as such.

    Parameters
    ----------
    arrays : Arrays
        The program.
    x : Array
        The point, (columns,).

    Returns
    -------
    tuple[float, float]
        The violation relative to 1 + |limit|, and the distance of an integer column from an integer.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> row, one = sp.csr_array([[0.1, 0.2]]), np.ones(2)
    >>> arrays = Arrays(row, one, 0 * one, one, np.array([0.3]), np.array([0.3]), one > 1)
    >>> 0 < exact_violation(arrays, one)[0] < 1e-16
    True
    """
    if not np.isfinite(x).all():
        return float("inf"), float("inf")
    point = [Fraction(value) for value in x.tolist()]
    matrix = arrays.matrix
    starts, columns, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    worst = Fraction(0)
    limits = zip(arrays.row_lower.tolist(), arrays.row_upper.tolist(), strict=True)
    for row, (low, high) in enumerate(limits):
        entries = range(starts[row], starts[row + 1])
        activity = sum((Fraction(values[k]) * point[columns[k]] for k in entries), Fraction(0))
        worst = max(worst, _excess(activity, low, high))
    for value, low, high in zip(point, arrays.lower.tolist(), arrays.upper.tolist(), strict=True):
        worst = max(worst, _excess(value, low, high))
    whole = x[arrays.integral]
    return float(worst), float(np.abs(whole - np.round(whole)).max()) if whole.size else 0.0


def _excess(value: Fraction, low: float, high: float) -> Fraction:
    below = (Fraction(low) - value) / (1 + abs(Fraction(low))) if np.isfinite(low) else Fraction(0)
    above = (value - Fraction(high)) / (1 + abs(Fraction(high))) if np.isfinite(high) else Fraction(0)
    return max(below, above, Fraction(0))


def check_point(program: Program, x: Array, claimed: float | None) -> dict[str, Any]:
    """Whether a point is what it is claimed to be, with every measured difference.

    Parameters
    ----------
    program : Program
        It may hold no tangents beyond the first ones: the cross-entropy is computed from the point's
        logits in extended precision.
    x : Array
        The point, (columns,).
    claimed : float or None
        Its claimed objective.

    Returns
    -------
    dict
        ``violation``, ``integrality``, ``replay_difference``, ``passed`` and ``message``. Where ReLU
        states are relaxed the replay proves nothing. It is stated then, and does not count.
    """
    recipe, arrays = program.recipe, program.arrays
    if not np.isfinite(x).all():
        return {
            "violation": None, "integrality": None, "replay_difference": None, "passed": False,
            "message": "the point holds numbers that are not finite",
        }  # fmt: skip
    violation, integrality = exact_violation(arrays, x)
    at = _columns(program.instance)
    o = x[at["o"]].reshape(len(program.labels), -1)
    scores = program.network.by_group(np.clip(x[at["s"]], 0.0, 1.0))
    # The published gate's M is the U+ of a box around the image.
    epsilon = float(recipe.settings().epsilon or 0.0)
    gate = recipe.settings().gate
    scale = gate_scale(program.network, program.images, gate, epsilon)
    logits = gated_logits(program.network, program.images, scores, gate, scale)
    replayed = float(np.abs(logits - o).max())
    faults = []
    if not violation <= ROWS:
        faults.append(f"a row or bound is broken by {violation:.2g}")
    if not integrality <= INTEGRAL:
        faults.append(f"an integer column is {integrality:.2g} from whole")
    if not recipe.relaxed and not replayed <= REPLAY * max(1.0, float(np.abs(logits).max())):
        faults.append(f"a logit differs from the network's by {replayed:.2g}")
    if recipe.radius is None and recipe.loss == "cross-entropy":
        wide = o.astype(np.longdouble)
        largest = wide.max(axis=1)
        total = largest + np.log(np.exp(wide - largest[:, None]).sum(axis=1))
        missing = float((total - wide[np.arange(len(o)), program.labels] - x[at["t"]]).max())
        if not missing <= OBJECTIVE * (1 + float(np.abs(x[at["t"]]).max())):
            faults.append(f"a loss is {missing:.2g} above what is counted")
    cost, point = arrays.cost.tolist(), x.tolist()
    exact = float(sum((Fraction(c) * Fraction(v) for c, v in zip(cost, point, strict=True)), Fraction(arrays.offset)))
    if claimed is None or not abs(exact - claimed) <= OBJECTIVE * (1 + abs(exact)):
        faults.append(f"the objective is {exact!r}, claimed was {claimed!r}")
    return {
        "violation": violation, "integrality": integrality, "replay_difference": replayed, "passed": not faults,
        "message": "; ".join(faults),
    }  # fmt: skip


def _columns(instance: Any) -> dict[str, slice]:
    found, first = {}, 0
    for component in instance.component_objects(pyo.Var, descend_into=True):
        found[component.name] = slice(first, first + len(component))
        first += len(component)
    return found


def refuted(row: Row, others: Iterable[tuple[float | None, str]]) -> str:
    """Why a row's claim cannot be true, "" if nothing speaks against it.

    Parameters
    ----------
    row : Row
        The row of a solve.
    others : iterable of (float or None, str)
        Objectives of checked solutions of the same program, and whose they are. A bound above one of
        them is refuted, and so is "infeasible".
    """
    for objective, whose in others:
        if objective is None:
            continue
        if row["status"] == "infeasible":
            return f"claimed infeasible, but {whose} has a solution of {objective!r}"
        if row["bound"] is not None and row["bound"] > objective + 1e-6 * (1 + abs(objective)):
            return f"the bound {row['bound']!r} is above the solution {objective!r} of {whose}"
    return ""
