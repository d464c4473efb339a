"""``oamip score``: importance scores of a network's units."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.numbers import Count, Whole
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import (
    Verb,
    check_data,
    check_log,
    check_out,
    data_options,
    json_option,
    network_options,
    weight_options,
    with_class_weights,
    with_sample_weights,
)
from oamip_model.cli.output import (
    INTERRUPTED,
    UNPROVED,
    note,
    percent,
    print_json,
    print_table,
    say,
    signs_of_life,
)
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import CheckError, InputError
from oamip_model.formulation.settings import Formulation
from oamip_model.runs.bars import moving_bar
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.layer_methods import Backward, Decoupled, Elimination, Forward
from oamip_model.scoring.methods import AllLayers, Batches, Joint, PerClass
from oamip_model.scoring.strategies import DEFAULT_STRATEGY, ELIMINATION, LAYERWISE, PROGRAM_STRATEGY, STRATEGIES, WHOLE
from oamip_model.solving.options import Run, Solver, TreeSearch
from oamip_model.solving.searches import SEARCHES
from oamip_model.tightening.methods import BOUND_METHODS

if TYPE_CHECKING:
    from oamip_model.data import Dataset
    from oamip_model.network.types import Network
    from oamip_model.scoring import Scores

_LOW = 0.1
_IMAGES = 10


GROUPS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("Program (om.Formulation)", (Formulation,)),
    ("All layers at once (om.Joint, om.Batches, om.PerClass)", (Joint, Batches, PerClass)),
    ("Search tree (om.TreeSearch)", (TreeSearch,)),
    ("Layer by layer (om.Forward, om.Backward, om.Decoupled), and om.Elimination", (Forward, Backward, Decoupled)),
    ("Solver of programs (om.Solver)", (Solver,)),
    ("Run (om.Run)", (Run,)),
    ("Elimination", (Elimination,)),
)
"""Headings of --help, each with the classes whose fields are options under it."""


class Bounds(click.ParamType[str]):
    """A method of bounds, or a file of them."""

    name = "|".join((*BOUND_METHODS, "FILE"))


@click.command(cls=Verb)
@network_options
@data_options(split=None)
@click.option("--images", "n", type=Count(), help="How many images, as many of each class; all: every image.  "
              f"[default: all; {_IMAGES} with {', '.join(WHOLE)}]")  # fmt: skip
@click.option("--correct-only", is_flag=True, help="Only images that the network classifies correctly.")
@click.option("--strategy", type=click.Choice(STRATEGIES),
              help=f"No program, but units one by one for `oamip prune --refit` ({ELIMINATION}); one convex program a "
              f"layer, from any number of images ({', '.join(LAYERWISE)}); or of all layers one program "
              "(joint), or several whose scores are averaged (batches, per-class).  "
              f"[default: {DEFAULT_STRATEGY}; {PROGRAM_STRATEGY} with options that it has no use for]")  # fmt: skip
@weight_options
@object_options(*GROUPS, types={"bounds": Bounds(), "search": click.Choice(SEARCHES), "exchanges": Whole(0, 1000)})
@click.option("--out", type=click.Path(path_type=Path), help="Save the scores to this .json file.")
@click.option("--proof", type=click.Path(path_type=Path), help="Of --strategy joint --search tree: save a proof of the "
              "bound to this .json file, for `oamip check-proof`, and check it.")  # fmt: skip
@json_option
def score(
    network: str,
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    n: int | str | None,
    correct_only: bool,
    class_weight: str | None,
    sample_weight: Path | None,
    strategy: str | None,
    out: Path | None,
    proof: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Score the units of the network NET, an .onnx, .pt2 or .nnet file.

    With --out or --store, a run of several programs that was killed or interrupted continues when
    it is started again. Finished programs are kept in OUT.runs.jsonl until the scores are saved, or
    in the file of --store.

    Exit code 3 if a program was not solved to --tolerance. Scores of a relaxation, or averaged over programs, are
    labelled so, and end with 0.
    """
    told = given(options)
    total = Deadline(told.get("total_time_limit"))
    store = told.get("store")
    if out is not None:
        check_out(out, network, data, class_weight, sample_weight, suffixes=(".json",))
    if proof is not None:
        check_out(proof, network, data, suffixes=(".json",), option="--proof")
    if store is not None:
        check_out(Path(store), network, data, option="--store", suffixes=(".jsonl",))
    check_log(told.get("log_file"), network, data, out, proof, store)
    if "bounds" in told and told["bounds"].endswith(".npz"):
        from oamip_model.bounds import load_bounds

        told["bounds"] = load_bounds(told["bounds"])
    wanted = as_objects(strategy, **told)
    method, solver, run = wanted["method"], wanted["solver"], wanted["run"]
    method.check_given(solver, run)
    if proof is not None and not (isinstance(method, Joint) and method.tree is not None):
        raise InputError("proof: only --strategy joint with --search tree has one")
    if proof is not None and (class_weight or sample_weight):
        raise InputError("proof: its checker counts all images alike; leave --class-weight and --sample-weight out")

    import oamip_model as om
    from oamip_model.data import check_labels

    if solver is not None:
        om.get_backend(solver.name)
    several = not isinstance(method, Joint | Elimination)
    temporary = out.with_name(out.name + ".runs.jsonl") if out is not None and several and store is None else None
    runs = store or temporary
    if n is None:
        n = "all" if not isinstance(method, AllLayers) and not correct_only else _IMAGES
    with moving_bar("programs") as progress, signs_of_life(progress), within(total), ExitStack() as one_program:
        # The time limit of a program holds for reading too. A single program has the rest of it.
        one_program.enter_context(within(Deadline(None if solver is None else solver.time_limit)))
        plain = om.read_network(network, input_shape, output=output)
        source = om.load_dataset(data, split=split, download=download)
        check_data(plain, source)
        check_labels(source.labels, plain.classes, where=source.source)
        source = with_sample_weights(source, sample_weight)
        if proof is not None and isinstance(method, Joint):
            from oamip_model.certify.proofs.rows import check_provable

            check_provable(plain, method.formulation)
        images = source
        if isinstance(n, int):
            images = om.choose_images(
                source, n=n, seed=told.get("seed", 0), correct_for=plain if correct_only else None
            )
        elif correct_only:
            raise InputError("correct_only: goes with a number of images, not with all")
        images = with_class_weights(images, class_weight)
        if several:
            one_program.close()
        left = None if total.seconds is None else seconds_left()
        told_to = None if runs is None else str(runs)
        run = replace(run, store=told_to, progress=progress or False, total_time_limit=left)
        result = om.score(plain, images, method=method, solver=solver, run=run)
    if out is not None:
        result.save(out)
        if temporary is not None and not (result.interrupted or result.out_of_time):
            temporary.unlink(missing_ok=True)
    if as_json:
        print_json(record(result) | {"out": None if out is None else str(out)})
    else:
        print_scores(result)
        if out is not None:
            click.echo(f"saved to {out}")
    if proof is not None and result.bound is not None and not result.interrupted:
        _prove(plain, images, result, method, solver or Solver(), proof, as_json)
    if result.interrupted:
        note("oamip: interrupted" + (f"; the same command goes on from {runs}" if runs is not None else ""))
        return INTERRUPTED
    if result.out_of_time:
        note(
            "oamip: the total time limit was over"
            + (f"; the same command goes on from {runs}" if several and runs else "")
        )
    if any(program.replay is not None and program.replay.passed is False for program in result.programs):
        note("oamip: the replay check failed: the program's logits are not those of the network")
        return CheckError.exit_code
    done = result.status == "optimal" or result.strategy == ELIMINATION
    return 0 if done and not result.out_of_time else UNPROVED


def _prove(
    plain: Network, images: Dataset, result: Scores, method: Any, solver: Solver, path: Path, as_json: bool
) -> None:
    """Write the proof of a result's bound, and check it in rational arithmetic."""
    from oamip_model.certify.proofs.prove import prove
    from oamip_model.proofcheck import check_proof

    assert result.objective is not None
    assert result.bound is not None
    made = prove(
        plain, images.images, images.labels, method.formulation, result.by_layer, result.objective, result.bound,
        solver=solver,
    )  # fmt: skip
    found = check_proof(made, plain, images.images)
    made.save(path)
    line = f"certified, proof checked: the bound {found.bound:.6g} follows from {found.leaves} leaves, saved to {path}"
    note(line) if as_json else say(line)


def print_scores(result: Scores) -> None:
    """Print a table of the scores by layer, and their description under it."""
    rows = [
        [name, str(len(s)), f"{s.mean():.3f}", f"{s.min():.3f}", f"{s.max():.3f}", percent(float((s < _LOW).mean()))]
        for name, s in result.by_layer.items()
    ]
    print_table(["layer", "units", "mean", "min", "max", f"below {_LOW:g}"], rows)
    say(result.summary())


def record(result: Scores) -> dict[str, Any]:
    """What --json prints of scores."""
    names: tuple[str, ...] = (
        "status",
        "objective",
        "bound",
        "gap",
        "loss",
        "sparsity",
        "heuristic",
        "proved",
        "proof",
        "relaxed",
        "averaged",
        "interrupted",
        "out_of_time",
    )
    names += ("strategy", "gate", "solver", "version", "source", "network", "options", "seconds")
    layers = {
        name: {
            "units": len(s),
            "mean": float(s.mean()),
            "min": float(s.min()),
            "max": float(s.max()),
            "below_0.1": float((s < _LOW).mean()),
            "scores": s.tolist(),
        }
        for name, s in result.by_layer.items()
    }
    return {name: getattr(result, name) for name in names} | {"summary": result.summary(), "layers": layers}
