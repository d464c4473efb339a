"""One cell of the study.

It is the size of its program, its relaxation at the root, and the integer program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_benchmarks.tightness.cells import Cell
from oamip_model.bounds import Bounds
from oamip_model.formulation import Formulation, build_instance
from oamip_model.formulation.gates import gate_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.records import Number
from oamip_model.solving import InstanceSolution, compile_arrays, solve_instance
from oamip_model.solving.options import Solver


@dataclass(frozen=True)
class Effort:
    """Limits of a study, and the solver's options.

    Parameters
    ----------
    solver, tolerance, threads, seed
        As in :func:`oamip_model.solving.solve_instance`.
    time_limit : float or None
        Seconds for bounds, build and integer program of one cell together, and for the rounds at its
        root. None for no integer program.
    bounds_limit : float or None
        Seconds for each kind of bounds, the quicker ones before it included.
    heuristic_limit : float or None
        Seconds of the primal heuristic.
    jobs : int
        Processes of the bounds.
    """

    solver: str = "highs"
    tolerance: float = 1e-4
    time_limit: float | None = None
    bounds_limit: float | None = None
    heuristic_limit: float | None = 10.0
    threads: int = 1
    seed: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class Row:
    """What was measured in one cell. What is not known is None.

    Parameters
    ----------
    network, gate, scores, relaxation, bounds : str
        The cell, and the kind of its scores.
    images : int
        Number of images.
    off, on, unstable : int
        ReLUs that the bounds decide, or leave open, over all images.
    binaries : int
        ReLU states and pooling choices.
    rows, columns, nonzeros : int
        Size of the program as built.
    big_m : float or None
        Mean of the numbers that the states switch off, by the bounds, in every relaxation. They are U
        and M - L, or -L where there is no M.
    root_bound : float or None
        Bound of the relaxation as built, its scores in [0, 1], with the first tangents of the loss.
    cut_bound : float or None
        Bound after the rounds of tangents and cuts.
    cuts : int
        Rows that these rounds added.
    root_status : str
        Whether the rounds came to their end.
    status : str or None
        Status of the integer program.
    objective, bound, gap : float or None
        Incumbent, dual bound and relative gap of the integer program.
    nodes : int or None
        Nodes of the integer program.
    bounds_seconds, build_seconds, root_seconds : float
        Seconds of the bounds, of the build, and of the rounds at the root.
    solve_seconds : float or None
        Seconds of the integer program.
    heuristic_seconds : float or None
        Seconds spent before on the scores that the integer program starts from, in none of the others.
    """

    network: str
    gate: str
    scores: str
    relaxation: str
    bounds: str
    images: int
    off: int
    on: int
    unstable: int
    binaries: int
    rows: int
    columns: int
    nonzeros: int
    big_m: Number | None
    root_bound: Number | None
    cut_bound: Number | None
    cuts: int
    root_status: str
    status: str | None
    objective: Number | None
    bound: Number | None
    gap: Number | None
    nodes: int | None
    bounds_seconds: Number
    build_seconds: Number
    root_seconds: Number
    solve_seconds: Number | None
    heuristic_seconds: Number | None

    @property
    def preprocessing(self) -> float:
        """Seconds before the first node: bounds, build, and the rounds at the root."""
        return self.bounds_seconds + self.build_seconds + self.root_seconds


@dataclass(frozen=True)
class Prepared:
    """What is known of a cell before its program is built.

    Parameters
    ----------
    bounds : Bounds
        The bounds of its images.
    bounds_seconds : float
        Their seconds.
    start : mapping of str to Array, optional
        Scores that the integer program begins from.
    heuristic_seconds : float, optional
        The seconds of these scores.
    """

    bounds: Bounds
    bounds_seconds: float
    start: Mapping[str, Array] | None = None
    heuristic_seconds: float | None = None


def measure(
    cell: Cell,
    settings: Formulation,
    network: Network,
    images: Array,
    labels: NDArray[np.int64],
    prepared: Prepared,
    effort: Effort,
    tell: Callable[[str], None],
) -> Row:
    """The row of one cell.

    Parameters
    ----------
    cell : Cell
        The cell.
    settings : Formulation
        Its formulation.
    network : Network
        The network.
    images : Array
        Images, (n, *input_shape).
    labels : Array
        Their labels, (n,).
    prepared : Prepared
        Its bounds, and scores to begin from.
    effort : Effort
        What it may cost.
    tell : callable
        Is called with the name of each step.

    Raises
    ------
    KeyboardInterrupt
        Where Ctrl-C stopped a solve.
    """
    bounds = prepared.bounds
    solver = Solver(
        effort.solver, time_limit=effort.time_limit, tolerance=effort.tolerance, threads=effort.threads,
        seed=effort.seed,
    )  # fmt: skip
    began = time.monotonic()
    # The relaxation has the same rows and columns, and continuous scores too.
    relaxed = replace(settings, relaxed=True, scores="continuous")
    instance = build_instance(network, images, labels, relaxed, bounds=bounds)
    arrays = compile_arrays(instance)
    build_seconds = time.monotonic() - began
    tell("root")
    root = _whole(solve_instance(instance, solver))
    solved: InstanceSolution | None = None
    if effort.time_limit is not None:
        tell("integer program")
        began = time.monotonic()
        whole = build_instance(network, images, labels, settings, bounds=bounds)
        left = effort.time_limit - prepared.bounds_seconds - (time.monotonic() - began)
        solved = _whole(solve_instance(whole, replace(solver, time_limit=max(left, 1e-3)), start=prepared.start))
    counts = np.sum(list(bounds.stability(network).values()), axis=0)
    rows, columns = arrays.matrix.shape
    return Row(
        cell.network, cell.gate, settings.scores, cell.relaxation, cell.bounds, len(images),
        int(counts[0]), int(counts[1]), int(counts[2]), len(instance.z) + len(instance.q),
        rows, columns, int(arrays.matrix.nnz), _big_m(instance),
        root.first_bound, root.bound, root.cuts, root.status.value,
        None if solved is None else solved.status.value, None if solved is None else solved.objective,
        None if solved is None else solved.bound, None if solved is None else solved.gap,
        None if solved is None else solved.nodes,
        prepared.bounds_seconds, build_seconds, root.seconds, None if solved is None else solved.seconds,
        prepared.heuristic_seconds,
    )  # fmt: skip


def _whole(solution: InstanceSolution) -> InstanceSolution:
    if solution.interrupted:
        raise KeyboardInterrupt
    return solution


def _big_m(instance: Any) -> float | None:
    g = instance.layout.value.gated
    open_ = g.state >= 0
    values = np.concatenate([g.upper[open_], -gate_named(instance.gate).off(g)[open_]])
    return float(values.mean()) if len(values) else None
