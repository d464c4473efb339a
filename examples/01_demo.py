"""Train, score, prune, prove and compare, on the images that come with the package, in about a minute.

Run it with ``python examples/01_demo.py``, or with ``oamip demo``, which runs this file.

1. It trains a 784-300-100-10 network, and scores it in two ways. One is the published program with relaxed ReLU states
   (10 images, one a class, weight 5). The other is layer by layer (all 1,500 images, weight 1). It prunes by both at
   several shares, and by weight norm and at random for comparison.
2. It proves binary scores of a 784-16-8-10 network optimal, by an integer program.
3. It repeats both programs with a second solver, and compares the objectives.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import oamip_model as om
from oamip_model.cli.output import UNPROVED, note, number, percent, print_json, print_table, say
from oamip_model.files import alone, check_writable, replacing
from oamip_model.runs.folders import make_folder

LARGE, SMALL = "fc3", "dense-16-8"
"""Hidden layers 300, 100 and 16, 8."""
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SAVED_SHARE = 0.5
RANDOM_DRAWS = 5
"""Draws whose mean stands for pruning at random."""
TOLERANCE = 1e-4
SECOND_SOLVERS = ("cbc", "scip", "pyomo:appsi_highs")
"""The first of these that is here repeats the scoring; the last is HiGHS again, through Pyomo's own interface."""
LIMIT = 300.0
"""Seconds after which a solve is stopped, so that the demo ends on a very slow machine too."""
# From the palette of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREY, GREEN = "#0072B2", "#D55E00", "#777777", "#009E73"


@dataclass(frozen=True)
class Pruned:
    """Test accuracies where ``share`` of each layer's units is removed, by four rules, and the parameters left."""

    share: float
    parameters: int
    scores: float
    layerwise: float
    weight_norm: float
    random: float


@dataclass(frozen=True)
class Agreement:
    """One program by two solvers. ``agree`` is None where one of them stopped at the time limit."""

    program: str
    solvers: tuple[str, str]
    objectives: tuple[float | None, float | None]
    difference: float | None
    agree: bool | None


def demo(out: str | Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Do all of it, and return the findings by name. Files are written into the folder ``out``.

    Raises InputError where ``out`` cannot be written, and SolverMissingError where no second solver is there.
    """
    folder = writable_folder(out)
    with alone(folder, "out"):
        return _demo(folder, say)


def _demo(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    began = time.monotonic()
    second = second_solver()
    training, test = om.load_dataset(split="train"), om.load_dataset(split="test")

    say("training a 784-300-100-10 network")
    module, network = trained(LARGE, training)
    files = [om.save_module(module, folder / "network.onnx", network.input_shape)]
    chosen = om.choose_images(training, n=10)
    say("scoring it by the published program, relaxed, with highs")
    scores = published(network, chosen, "highs")
    files.append(scores.save(folder / "scores.json"))
    say("scoring it layer by layer from all training images")
    layerwise = om.score(network, training, method=om.Decoupled(weight=1.0), solver=om.Solver(time_limit=LIMIT))
    files.append(layerwise.save(folder / "layer-by-layer-scores.json"))
    say("pruning it")
    rows = [pruned(module, network, scores, layerwise, share, test) for share in SHARES]
    smaller, _ = om.prune_with_report(module, scores, amount=SAVED_SHARE, network=network)
    files.append(om.save_module(smaller, folder / f"pruned-{100 * SAVED_SHARE:.0f}.onnx", network.input_shape))
    full = om.accuracy(module, *test)

    say("proving binary scores of a 784-16-8-10 network optimal, with highs")
    module, tiny = trained(SMALL, training)
    files.append(om.save_module(module, folder / "small.onnx", tiny.input_shape))
    images = om.choose_images(training, n=10, correct_for=tiny)
    proved = integer(tiny, images, "highs")
    files.append(proved.save(folder / "small-scores.json"))
    say(f"the same with {second}")
    agreements = [compare("integer, binary scores, 784-16-8-10", proved, integer(tiny, images, second))]
    say(f"the published program with {second}")
    agreements.append(compare("published, relaxed, 784-300-100-10", scores, published(network, chosen, second)))

    say("drawing")
    no_picture = ""
    try:
        files.append(draw(scores, rows, full, test.count, folder / "scores.png"))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        no_picture = "no picture: matplotlib is missing, install it with pip install matplotlib"
    return {
        "accuracy": full, "parameters": network.parameters, "test": test.source, "scores": scores,
        "layerwise": layerwise, "pruned": rows, "proved": proved, "agreements": agreements, "files": files,
        "no_picture": no_picture, "seconds": time.monotonic() - began,
    }  # fmt: skip


def writable_folder(out: str | Path) -> Path:
    """The folder, made where it is not there. Raises InputError where no file can be written into it."""
    folder = make_folder(out)
    check_writable(folder / "scores.json", "out")
    return folder


def second_solver() -> str:
    """The name of the first of SECOND_SOLVERS that is usable here."""
    problems = []
    for name in SECOND_SOLVERS:
        try:
            om.get_backend(name)
        except om.SolverMissingError as error:
            problems.append(str(error))
        else:
            return name
    raise om.SolverMissingError(f"no second solver to compare with: {'; '.join(problems)}")


def trained(name: str, training: Any) -> tuple[Any, om.Network]:
    """A network as a torch module, and as the package reads it."""
    module = om.make_network(name)
    om.train(module, training.images, training.labels, threads=1)
    return module, om.read_network(module, training.images.shape[1:])


def published(network: om.Network, images: Any, solver: str) -> om.Scores:
    """Scores by the published program, with relaxed ReLU states."""
    program = om.Formulation(gate="published", relaxed=True)
    return om.score(network, images, method=om.Joint(program), solver=limited(solver))


def integer(network: om.Network, images: Any, solver: str) -> om.Scores:
    """Binary scores, optimal for the loss and the number of units together."""
    program = om.Formulation(gate="switch", scores="binary", sparsity="mean")
    return om.score(network, images, method=om.Joint(program), solver=limited(solver))


def limited(solver: str) -> om.Solver:
    """The solver with the demo's tolerance and time limit."""
    return om.Solver(solver, tolerance=TOLERANCE, time_limit=LIMIT)


def pruned(module: Any, network: om.Network, scores: Any, layerwise: Any, share: float, test: Any) -> Pruned:
    """Accuracies where a share of each layer is removed: by a smaller module, and by masks for the other rules."""

    def left(by: Any) -> float:
        keep = om.choose_units(by, network, amount=share).keep
        logits = network.replay(test.images, {name: mask.astype(np.float64) for name, mask in keep.items()})
        return float((logits.argmax(axis=1) == test.labels).mean())

    smaller, report = om.prune_with_report(module, scores, amount=share, network=network)
    random = float(np.mean([left(om.baseline_scores(network, "random", seed)) for seed in range(RANDOM_DRAWS)]))
    norms = left(om.baseline_scores(network, "weight-norm"))
    return Pruned(share, report.parameters_after, om.accuracy(smaller, *test), left(layerwise), norms, random)


def compare(program: str, one: om.Scores, other: om.Scores) -> Agreement:
    """Whether two solvers have the same optimum: each is within TOLERANCE of it, so both within twice that."""
    names, values = (one.solver, other.solver), (one.objective, other.objective)
    if one.objective is None or other.objective is None:
        return Agreement(program, names, values, None, None)
    difference = abs(one.objective - other.objective) / max(abs(one.objective), abs(other.objective), 1e-10)
    solved = one.status == other.status == "optimal"
    return Agreement(program, names, values, difference, difference <= 2 * TOLERANCE if solved else None)


def draw(scores: om.Scores, rows: Sequence[Pruned], accuracy: float, images: int, path: Path) -> Path:
    """Draw sorted scores, and test accuracy against the share of units removed, into a .png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), colour in zip(scores.by_layer.items(), (BLUE, GREEN, ORANGE, GREY) * 9, strict=False):
        share = 100 * (np.arange(len(values)) + 0.5) / len(values)
        left.plot(share, np.sort(values), color=colour, linewidth=2, label=f"{name} ({len(values)} units)")
    left.set(xlabel="units, lowest score first (%)", ylabel="importance score", xlim=(0, 100), ylim=(-0.02, 1.02))
    left.set_title(f"{scores.gate} program{', relaxed' if scores.relaxed else ''} ({scores.solver}: {scores.status})")
    left.legend(loc="upper left", frameon=False)

    shares = [100 * row.share for row in rows]
    right.axhline(100 * accuracy, color="black", linewidth=1, linestyle=":", label="as trained")
    lines = (
        ("layerwise", "layer by layer, all training images", GREEN, "D"),
        ("scores", "published program, 10 images", BLUE, "o"),
        ("weight_norm", "by weight norm", ORANGE, "s"),
        ("random", f"random, mean of {RANDOM_DRAWS} draws", GREY, "^"),
    )
    for field, label, colour, marker in lines:
        heights = [100 * getattr(row, field) for row in rows]
        right.plot(shares, heights, color=colour, marker=marker, linewidth=2, label=label)
    right.set(xlabel="units removed from each layer (%)", ylabel=f"accuracy on {images} test images (%)", ylim=(0, 100))
    right.set_title("Pruned, no fine-tuning")
    right.legend(loc="lower left", frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def show(found: dict[str, Any]) -> None:
    """Print the findings as tables."""
    scores, layerwise, proved = found["scores"], found["layerwise"], found["proved"]
    say("1. Prune a 784-300-100-10 network by its scores, no fine-tuning.")
    say(f"   published program, {scores.solver} {scores.version}: {scores.summary()}")
    say(f"   layer by layer, {layerwise.solver} {layerwise.version}: {layerwise.summary()}")
    say(f"   accuracy on {found['test']}\n")
    rows = [["0 %", str(found["parameters"]), *[percent(found["accuracy"])] * 4]]
    rows += [
        [f"{100 * r.share:.0f} %", str(r.parameters), *map(percent, (r.scores, r.layerwise, r.weight_norm, r.random))]
        for r in found["pruned"]
    ]
    print_table(["units removed", "parameters", "published", "layer by layer", "weight norm", "random"], rows, left=0)
    kept = ", ".join(f"{name} {int(s.sum())} of {len(s)}" for name, s in proved.by_layer.items())
    say("\n2. The fewest units of a 784-16-8-10 network, against its loss, by an integer program.")
    say(f"   solver: {proved.solver} {proved.version}: {proved.summary()}\n   units kept: {kept}")
    say("\n3. The published and the integer program by a second solver.\n")
    table = [
        [a.program, *(f"{s} {number(v, 8)}" for s, v in zip(a.solvers, a.objectives, strict=True)),
         number(a.difference, 2), {True: "yes", False: "NO", None: "not solved"}[a.agree]]
        for a in found["agreements"]
    ]  # fmt: skip
    print_table(["program", "objective", "objective", "difference", "agree"], table, left=3)
    say(f"\nfiles: {', '.join(map(str, found['files']))}")
    say("\n".join([*([found["no_picture"]] if found["no_picture"] else []), f"{found['seconds']:.0f} seconds"]))


def record(found: dict[str, Any]) -> dict[str, Any]:
    """The findings as JSON can hold them."""
    names = ("solver", "version", "status", "objective", "bound", "gap", "proved", "relaxed")
    told = {key: {n: getattr(found[key], n) for n in names} | {"summary": found[key].summary()}
            for key in ("scores", "layerwise", "proved")}  # fmt: skip
    lists = {"pruned": list(map(vars, found["pruned"])), "agreements": list(map(vars, found["agreements"]))}
    return found | told | lists | {"files": [str(path) for path in found["files"]]}


def main(out: str = "demo", as_json: bool = False) -> int:
    """Run the demo, print its findings, and return the exit code of ``oamip demo``."""
    began = time.monotonic()
    found = demo(out, lambda line: note(f"[{time.monotonic() - began:4.0f} s] {line}"))
    print_json(record(found)) if as_json else show(found)
    if any(a.agree is False for a in found["agreements"]):
        raise om.CheckError("the two solvers disagree on an objective")
    if found["proved"].replay is None or not found["proved"].replay.passed:
        raise om.CheckError("the replay check failed: the program's logits are not those of the network")
    proved = found["scores"].status == "optimal" and found["proved"].proved
    return 0 if proved and all(a.agree for a in found["agreements"]) else UNPROVED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
