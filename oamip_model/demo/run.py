"""Trains, scores, prunes, proves and compares, in well under two minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oamip_model.data import Dataset, choose_images, load_dataset
from oamip_model.demo.rows import RANDOM_DRAWS, PrunedRow
from oamip_model.errors import InputError, SolverMissingError
from oamip_model.files import alone, check_writable
from oamip_model.formulation.settings import Formulation
from oamip_model.network import read_network
from oamip_model.pruning import baseline_scores, choose_units, prune_with_report, save_module
from oamip_model.scoring import Scores, score
from oamip_model.scoring.methods import Decoupled, Joint
from oamip_model.scoring.select import AnyScores
from oamip_model.solving import get_backend
from oamip_model.solving.options import Solver
from oamip_model.training import accuracy, make_network, train

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.network import Network

LARGE, SMALL = "fc3", "dense-16-8"
"""Hidden layers 300, 100 and 16, 8."""
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SAVED_SHARE = 0.5
TOLERANCE = 1e-4
SECOND_SOLVERS = ("cbc", "scip", "pyomo:appsi_highs")
"""The first of these that is here repeats the scoring; the last is HiGHS again, through Pyomo's own interface."""
_LIMIT = 300.0
"""Seconds after which a solve is stopped, so that the demo ends on a very slow machine too."""


@dataclass(frozen=True)
class Agreement:
    """One program by two solvers: their objectives, and their relative difference.

    agree: None where one of the two stopped at the time limit, so that nothing follows.
    """

    program: str
    solvers: tuple[str, str]
    objectives: tuple[float | None, float | None]
    difference: float | None
    agree: bool | None


@dataclass(frozen=True)
class Demo:
    """What a demo found.

    accuracy: of the trained network on the test images; scores: of the published program, relaxed; layerwise: of one
    convex program a layer, from all training images; rows: what pruning by them costs; proved: binary scores of a
    smaller network by an integer program; agreements: with the second solver; files: what was written; no_picture: why
    there is no picture, empty where there is one.
    """

    accuracy: float
    parameters: int
    test: str
    scores: Scores
    layerwise: Scores
    rows: tuple[PrunedRow, ...]
    proved: Scores
    agreements: tuple[Agreement, ...]
    files: tuple[Path, ...]
    no_picture: str
    seconds: float


def run_demo(out: str | Path, *, progress: Callable[[str], None] | None = None) -> Demo:
    """Run a little of everything on the embedded images, and return the findings.

    Files are written into the folder ``out``.

    Trains a 784-300-100-10 network, scores it by the published program with relaxed ReLU states (10 images, one a
    class, weight 5, HiGHS) and layer by layer (all 1,500 images, weight 1), and prunes it by both at several shares,
    against random and weight-norm pruning. Then proves binary
    scores of a 784-16-8-10 network optimal, and repeats both programs with a second solver.

    progress: called with a line before each step. Raises InputError where ``out`` cannot be written, and
    SolverMissingError where no second solver is there.
    """
    folder = make_folder(out)
    with alone(folder, "out"):
        return _run(folder, progress or (lambda line: None))


def _run(folder: Path, say: Callable[[str], None]) -> Demo:
    began = time.monotonic()
    second = second_solver()
    training, test = load_dataset(split="train"), load_dataset(split="test")

    say("training a 784-300-100-10 network")
    module, network = _trained(LARGE, training)
    files = [save_module(module, folder / "network.onnx", network.input_shape)]
    chosen = choose_images(training, n=10)
    say("scoring it by the published program, relaxed, with highs")
    scores = _published(network, chosen, "highs")
    files.append(scores.save(folder / "scores.json"))
    say("scoring it layer by layer from all training images")
    layerwise = score(network, training, method=Decoupled(weight=1.0), solver=Solver(time_limit=_LIMIT))
    files.append(layerwise.save(folder / "layer-by-layer-scores.json"))
    say("pruning it")
    full = accuracy(module, *test)
    rows = tuple(_pruned(module, network, scores, layerwise, share, test) for share in SHARES)
    pruned, _ = prune_with_report(module, scores, amount=SAVED_SHARE, network=network)
    files.append(save_module(pruned, folder / f"pruned-{100 * SAVED_SHARE:.0f}.onnx", network.input_shape))

    say("proving binary scores of a 784-16-8-10 network optimal, with highs")
    module, tiny = _trained(SMALL, training)
    files.append(save_module(module, folder / "small.onnx", tiny.input_shape))
    images = choose_images(training, n=10, correct_for=tiny)
    proved = _sound(tiny, images, "highs")
    files.append(proved.save(folder / "small-scores.json"))
    say(f"the same with {second}")
    agreements = [compare("integer, binary scores, 784-16-8-10", proved, _sound(tiny, images, second))]
    say(f"the published program with {second}")
    agreements.append(compare("published, relaxed, 784-300-100-10", scores, _published(network, chosen, second)))

    say("drawing")
    no_picture = ""
    try:
        from oamip_model.demo.picture import draw
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        no_picture = "no picture: matplotlib is missing, install it with pip install matplotlib"
    else:
        files.append(draw(scores, rows, full, test.count, folder / "scores.png"))
    seconds = time.monotonic() - began
    return Demo(
        full,
        network.parameters,
        test.source,
        scores,
        layerwise,
        rows,
        proved,
        tuple(agreements),
        tuple(files),
        no_picture,
        seconds,
    )


def make_folder(out: str | Path) -> Path:
    """The folder, made if it is not there.

    Raises InputError where no file can be written into it.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: the folder {folder} cannot be made ({error.strerror})") from None
    check_writable(folder / "scores.json", "out")
    return folder


def second_solver() -> str:
    """The name of the first of :data:`SECOND_SOLVERS` that is usable here."""
    problems = []
    for name in SECOND_SOLVERS:
        try:
            get_backend(name)
        except SolverMissingError as error:
            problems.append(str(error))
        else:
            return name
    raise SolverMissingError(f"no second solver to compare with: {'; '.join(problems)}")


def compare(program: str, one: Scores, other: Scores, tolerance: float = TOLERANCE) -> Agreement:
    """Whether two solvers found the same optimum.

    Each objective is within ``tolerance`` (relative) of the optimum, so two of them are within twice that.
    """
    names, values = (one.solver, other.solver), (one.objective, other.objective)
    if one.objective is None or other.objective is None:
        return Agreement(program, names, values, None, None)
    scale = max(abs(one.objective), abs(other.objective), 1e-10)
    difference = abs(one.objective - other.objective) / scale
    solved = one.status == other.status == "optimal"
    return Agreement(program, names, values, difference, difference <= 2 * tolerance if solved else None)


def _trained(name: str, training: Dataset) -> tuple[nn.Module, Network]:
    module = make_network(name)
    train(module, training.images, training.labels, threads=1)
    return module, read_network(module, training.images.shape[1:])


def _published(network: Network, images: Dataset, solver: str) -> Scores:
    return score(
        network, images, method=Joint(Formulation(gate="published", relaxed=True)), solver=_within_limits(solver)
    )


def _sound(network: Network, images: Dataset, solver: str) -> Scores:
    program = Formulation(gate="switch", scores="binary", sparsity="mean")
    return score(network, images, method=Joint(program), solver=_within_limits(solver))


def _within_limits(solver: str) -> Solver:
    return Solver(solver, tolerance=TOLERANCE, time_limit=_LIMIT)


def _pruned(
    module: nn.Module, network: Network, scores: Scores, layerwise: Scores, share: float, test: Dataset
) -> PrunedRow:
    def left(by: AnyScores) -> float:
        keep = choose_units(by, network, amount=share).keep
        logits = network.replay(test.images, {name: mask.astype(np.float64) for name, mask in keep.items()})
        return float((logits.argmax(axis=1) == test.labels).mean())

    smaller, report = prune_with_report(module, scores, amount=share, network=network)
    random = [left(baseline_scores(network, "random", seed)) for seed in range(RANDOM_DRAWS)]
    norms = left(baseline_scores(network, "weight-norm"))
    return PrunedRow(
        share, report.parameters_after, accuracy(smaller, *test), left(layerwise), norms, float(np.mean(random))
    )
