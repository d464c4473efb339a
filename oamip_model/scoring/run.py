"""Importance scores of a network, by a strategy: which images go into which program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.bounds import BOUND_METHODS, Bounds, fingerprint_images
from oamip_model.data import Dataset, check_labels
from oamip_model.errors import InputError, SolverError
from oamip_model.formulation import Settings
from oamip_model.formulation.settings import check_choice
from oamip_model.network import Network, read_network
from oamip_model.network.ops import Array
from oamip_model.scoring.program import ProgramOutcome, Solver, solve_program
from oamip_model.scoring.result import Scores, read_program
from oamip_model.scoring.store import RunStore, key_of
from oamip_model.scoring.strategies import STRATEGIES
from oamip_model.solving.protocol import Options
from oamip_model.solving.registry import get_backend
from oamip_model.solving.solve import check_tolerance

if TYPE_CHECKING:
    from torch import nn


def score(
    network: Network | nn.Module | str | Path,
    images: Dataset | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    solver: str = "highs",
    strategy: str = "joint",
    gate: str = "subtractive",
    scores: str = "continuous",
    relaxed: bool = False,
    loss: str = "cross-entropy",
    sparsity: str = "published",
    weight: float = 5.0,
    margin: float = 1.0,
    epsilon: float | None = None,
    bounds: Bounds | str = "interval",
    relaxation: str = "big-m",
    batch_size: int = 10,
    tolerance: float = 1e-4,
    time_limit: float | None = None,
    threads: int | None = 1,
    seed: int = 0,
    log_file: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
    store: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Importance scores of a trained network's units, and what was proved about them (FORMULATION.md 1 to 5).

    network: a :class:`Network`, a torch module in eval mode, or a .pt2 or .onnx file; images: (n, *input_shape) with
    labels (n,), or a :class:`oamip_model.data.Dataset` alone.
    strategy: "joint", one program for all images; "batches", one for each ``batch_size`` images in turn, scores
    averaged; "per-class", one for each class, scores averaged.
    gate, scores, relaxed, loss, sparsity, weight, margin, epsilon, relaxation: see
    :class:`oamip_model.formulation.Settings`; bounds: a method's name, or a :class:`oamip_model.bounds.Bounds` (joint
    only).
    solver: a name of ``oamip solvers``; tolerance: relative gap at which a program counts as solved; time_limit:
    seconds for each program; threads, seed, log_file: handed to the solver.
    store: a file to which each finished program is added, and from which a run that was killed goes on; progress:
    called with (programs finished, programs, a line of text).

    Ctrl-C gives back the scores found so far, marked as interrupted, and is raised on where there are none. Raises
    InputError for whatever is given wrong, SolverMissingError where the solver is not there, SolverError where no
    program gave scores.

    Example:
        >>> import torch, oamip_model as om
        >>> _ = torch.manual_seed(0)
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> result = om.score(module, [[1.0, 0.5], [0.2, 0.9]], [0, 1], scores="binary", sparsity="mean")
        >>> result.status, result.proved, result.by_layer["0"].shape
        ('optimal', True, (3,))
    """
    settings = Settings(gate, relaxation, scores, relaxed, loss, sparsity, weight, margin, epsilon)
    check_choice("strategy", strategy, STRATEGIES)
    if isinstance(bounds, str):
        check_choice("bounds", bounds, BOUND_METHODS)
    elif strategy != "joint":
        raise InputError(f"bounds: strategy {strategy} makes bounds for each program, accepted is a method's name")
    data = as_dataset(images, labels)
    plain = as_network(network, data, input_shape)
    x, y = plain.check_images(data.images), check_labels(data.labels, plain.classes)
    groups = split(strategy, y, batch_size)
    options = Solver(solver, tolerance, time_limit, threads, seed, None if log_file is None else str(log_file))
    backend = get_backend(solver)
    check_tolerance(tolerance)
    Options(time_limit, tolerance, threads, seed)
    told = _without_bounds(asdict(settings), bounds)
    asked = told | asdict(options) | {"version": backend.version(), "strategy": strategy, "batch_size": batch_size}

    keep = RunStore(store)
    outcomes: list[ProgramOutcome] = []
    # Where the solver's log goes changes nothing in what it finds.
    part_of_key = {name: value for name, value in asked.items() if name != "log_file"}

    def solve(number: int, rows: NDArray[np.int64]) -> ProgramOutcome:
        def told_progress(line: str) -> None:
            if progress is not None:
                progress(number, len(groups), line)

        key = key_of(
            network=plain.fingerprint, images=fingerprint_images(x[rows]), labels=y[rows].tolist(), **part_of_key
        )
        known = keep.get(key)
        if known is not None:
            return _outcome_from(known)
        told_progress("building")
        indices = tuple(int(k) for k in data.indices[rows])
        outcome = solve_program(plain, x[rows], y[rows], indices, settings, bounds, options, told_progress)
        if not outcome.interrupted:
            keep.put(key, _record(outcome))
        return outcome

    for number, rows in enumerate(groups):
        try:
            outcomes.append(solve(number, rows))
        except KeyboardInterrupt:  # while building, say, where no solver gives back what it has
            if not outcomes:
                raise
            break
        if outcomes[-1].interrupted:
            break
    if progress is not None:
        progress(len(outcomes), len(groups), outcomes[-1].result.status)
    return collect(plain, outcomes, len(groups), strategy, settings, asked, data.source)


def as_dataset(images: Dataset | ArrayLike, labels: ArrayLike | None) -> Dataset:
    """A dataset of what a caller gave: a Dataset alone, or images and labels."""
    if isinstance(images, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset carries its labels, none can be given beside it")
        return images
    if labels is None:
        raise InputError("labels: got none, one integer per image is needed")
    marks = check_labels(labels)
    return Dataset(images, marks, "arrays given by the caller", int(marks.max()) + 1)  # type: ignore[arg-type]


def as_network(
    network: Network | nn.Module | str | Path, data: Dataset, input_shape: Sequence[int] | None = None
) -> Network:
    """The network as plain data; a module without a given input shape takes the shape of the images."""
    if isinstance(network, Network):
        return network
    if isinstance(network, str | Path):
        return read_network(network, input_shape)
    return read_network(network, data.images.shape[1:] if input_shape is None else input_shape)


def split(strategy: str, labels: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Rows of the images that go into each program."""
    if batch_size < 1:
        raise InputError(f"batch_size: got {batch_size}, accepted is a number of images >= 1")
    rows = np.arange(len(labels))
    if strategy == "batches":
        return [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]
    if strategy == "per-class":
        return [rows[labels == c] for c in np.unique(labels)]
    return [rows]


def collect(
    network: Network,
    outcomes: list[ProgramOutcome],
    planned: int,
    strategy: str,
    settings: Settings,
    asked: dict[str, Any],
    source: str,
) -> Scores:
    """The scores of a run: the program's own, or the mean over programs.

    Raises SolverError where none has scores, or KeyboardInterrupt where that is because of an interruption.
    """
    interrupted = len(outcomes) < planned or outcomes[-1].interrupted
    found = [outcome.scores for outcome in outcomes if outcome.scores is not None]
    if not found:
        if interrupted:
            raise KeyboardInterrupt(no_scores(outcomes[-1], settings))
        raise SolverError(no_scores(outcomes[0], settings))
    by_layer = {group.name: np.mean([s[group.name] for s in found], axis=0) for group in network.groups}
    seconds: dict[str, float] = {}
    for outcome in outcomes:
        for stage, value in outcome.result.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    return Scores(
        by_layer=by_layer,
        strategy=strategy,
        gate=settings.gate,
        solver=outcomes[0].solver,
        version=outcomes[0].version,
        relaxed=settings.is_relaxation,
        programs=tuple(outcome.result for outcome in outcomes),
        options=asked,
        source=source,
        network=network.fingerprint,
        planned=planned,
        interrupted=interrupted,
        seconds=seconds,
    )


def no_scores(outcome: ProgramOutcome, settings: Settings) -> str:
    """Why a program gave no scores, in one line."""
    status, message = outcome.result.status, outcome.result.message
    if status == "infeasible" and settings.loss == "margin":
        return f"{outcome.solver}: infeasible, no scores give every image a margin of {settings.margin:g} in its logits"
    if outcome.interrupted:
        return f"{outcome.solver}: interrupted before there was a feasible point"
    detail = f" ({message})" if message and message != status else ""
    return f"{outcome.solver}: no scores, the program ended as: {status}{detail}"


def _without_bounds(told: dict[str, Any], bounds: Bounds | str) -> dict[str, Any]:
    return told | {"bounds": bounds if isinstance(bounds, str) else bounds.method}


def _record(outcome: ProgramOutcome) -> dict[str, Any]:
    scores = outcome.scores
    stored = None if scores is None else {name: values.tolist() for name, values in scores.items()}
    return asdict(replace(outcome, scores=None)) | {"scores": stored}


def _outcome_from(record: dict[str, Any]) -> ProgramOutcome:
    stored = record["scores"]
    scores: dict[str, Array] | None = None if stored is None else {k: np.asarray(v) for k, v in stored.items()}
    return ProgramOutcome(read_program(record["result"]), scores, record["solver"], record["version"])
