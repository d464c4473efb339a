"""``oamip score``: importance scores of a network's units."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.names import Named
from oamip_model.cli.numbers import GAP, NOT_NEGATIVE, SECONDS, SEED, SHARE, Count, Whole
from oamip_model.cli.options import Verb, check_out, data_options, json_option, network_options
from oamip_model.cli.output import (
    INTERRUPTED,
    UNPROVED,
    note,
    percent,
    print_json,
    print_table,
    progress_bar,
    signs_of_life,
)
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import CheckError, InputError
from oamip_model.files import check_writable
from oamip_model.formulation.gates import gate_names
from oamip_model.formulation.losses import loss_names
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import SCORES, Settings
from oamip_model.formulation.sparsities import sparsity_names
from oamip_model.scoring.strategies import (
    DEFAULT_STRATEGY,
    ELIMINATION,
    HEADS,
    LAYERWISE,
    MOST_IMAGES,
    SCOPES,
    STRATEGIES,
    WHOLE,
)
from oamip_model.solving.engines import ENGINES
from oamip_model.solving.searches import SEARCHES
from oamip_model.tightening.methods import BOUND_METHODS

if TYPE_CHECKING:
    from oamip_model.scoring import Scores

_LOW = 0.1
_IMAGES = 10


@click.command(cls=Verb)
@network_options
@data_options(split=None)
@click.option("--images", "n", type=Count(), help="How many images, as many of each class; all: every image.  "
              f"[default: all; {_IMAGES} with {', '.join(WHOLE)}]")  # fmt: skip
@click.option("--correct-only", is_flag=True, help="Only images that the network classifies correctly.")
@click.option("--solver", default="highs", show_default=True, help="A name of `oamip solvers`, or pyomo:NAME.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default=DEFAULT_STRATEGY, show_default=True,
              help=f"One convex program a layer, from any number of images ({', '.join(LAYERWISE)}); no program, but "
              f"units one by one for `oamip prune --refit` ({ELIMINATION}); or of all layers one program "
              "(joint), or several whose scores are averaged (batches, per-class).")  # fmt: skip
@click.option(
    "--batch-size", type=Whole(), default=10, show_default=True, help="Images of each program of --strategy batches."
)
@click.option("--head", type=click.Choice(HEADS), default=HEADS[0], show_default=True,
              help="What stands for the layers after the scored one, layer by layer.")  # fmt: skip
@click.option("--program-images", type=Whole(1, MOST_IMAGES),
              help="Images of each mixed-integer program (heads rest and auxiliary). "
              "  [default: 50]")  # fmt: skip
@click.option("--amount", type=SHARE, help="Layer by layer: find the weights for removing this share of the units.")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    default=SCOPES[0],
    show_default=True,
    help="--amount of each layer, or of all layers together, by one weight.",
)
@click.option(
    "--sweeps",
    type=Whole(0, 100),
    default=1,
    show_default=True,
    help="Forward and backward: rounds over the layers after the first.",
)
@click.option(
    "--exchanges",
    type=Whole(0, 1000),
    help="Forward and backward, with --amount: rounds in which units that stay are exchanged "
    "for units that go where the network cut so does better.  [default: 50]",
)
@click.option("--device", default="cpu", show_default=True, help="Of torch, layer by layer: cpu, cuda or auto.")
@click.option("--gate", type=Named(gate_names), default=Settings.gate, show_default=True,
              help="Of joint, batches and per-class: how a score acts on a unit; the bounds of `published` do not hold "
              "for scores below 1.")  # fmt: skip
@click.option("--score-type", "scores", type=click.Choice(SCORES), default=Settings.scores, show_default=True)
@click.option("--relaxed", is_flag=True, help="ReLU states in [0, 1] instead of {0, 1}: a lower bound, and quick.")
@click.option("--search", type=click.Choice(SEARCHES), default=SEARCHES[0], show_default=True,
              help="The solver's own tree, or one of this package over the solver's linear programs.")  # fmt: skip
@click.option("--relaxation", type=click.Choice(RELAXATIONS), help="Rows of each ReLU.  [default: big-m; hull with "
              "--search tree]")  # fmt: skip
@click.option("--bounds", default="interval", show_default=True, metavar="|".join((*BOUND_METHODS, "FILE")),
              help="How pre-activations are bounded, or with --strategy joint a file of `oamip bounds`.")  # fmt: skip
@click.option("--loss", type=Named(loss_names), default=Settings.loss, show_default=True)
@click.option(
    "--weight", type=NOT_NEGATIVE, default=Settings.weight, show_default=True, help="Of the loss, against the sparsity."
)
@click.option(
    "--margin",
    type=NOT_NEGATIVE,
    default=Settings.margin,
    show_default=True,
    help="Of the losses hinge and margin, in logits.",
)
@click.option("--sparsity", type=Named(sparsity_names), default=Settings.sparsity, show_default=True)
@click.option(
    "--epsilon",
    type=NOT_NEGATIVE,
    help="Half width of the box around the images, with --gate published.  [default: 1e-5]",
)
@click.option(
    "--tolerance", type=GAP, help="Relative gap at which a program is solved.  [default: 1e-3; all layers 1e-4]"
)
@click.option("--heuristic/--no-heuristic", default=None,
              help="Begin from scores found by gradients through the network.  [default: in a sound gate with 30 "
              "integer ReLU states or more, 100 with --search tree]")  # fmt: skip
@click.option(
    "--image-cuts/--no-image-cuts",
    default=None,
    help="Of --search tree: cuts from programs of one image each.  [default: yes, from 200 binaries on]",
)
@click.option("--time-limit", type=SECONDS, help="Seconds for each program, bounds and heuristic included.")
@click.option("--total-time-limit", type=SECONDS,
              help="Seconds for the whole run, reading included, which then ends with what it has.")  # fmt: skip
@click.option("--threads", type=Whole(), default=1, show_default=True, help="Threads of the solver.")
@click.option("--jobs", type=Whole(),
              help="Programs that are solved at a time, with batches, per-class and decoupled.  "
              "[default: 1; with --engine dask the threads of the cluster]")  # fmt: skip
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True,
              help="Where: in processes of this machine, or in the dask cluster of --scheduler.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="Of a running dask cluster, such as tcp://host:8786.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the choice of images, and of the solver.")
@click.option("--log-file", type=click.Path(path_type=Path), help="Append the solver's log to this file.")
@click.option("--store", type=click.Path(path_type=Path),
              help="Add each finished program to this file, take from it those that it has, and keep it.  "
              "[default: OUT.runs.jsonl, until the scores are saved]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Save the scores to this .json file.")
@json_option
def score(
    network: str,
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    n: int | str | None,
    correct_only: bool,
    store: Path | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Score the units of the network NET, an .onnx or .pt2 file.

    With --out or --store, a run of several programs that was killed or interrupted goes on where it stopped when it is
    started again: finished programs are kept in OUT.runs.jsonl until the scores are saved, or in the file of --store.

    Exit code 3 if a program was not solved to --tolerance. Scores of a relaxation, or averaged over programs, are
    labelled so, and end with 0.
    """
    total = Deadline(asked["total_time_limit"])
    if out is not None:
        check_out(out, network, data, suffixes=(".json",))
    if store is not None:
        check_out(store, network, data, option="--store", suffixes=(".jsonl",))
    if asked["log_file"] is not None:
        check_writable(asked["log_file"], "--log-file")

    import oamip_model as om
    from oamip_model.data import check_labels

    told = {name: asked[name] for name in Settings.__dataclass_fields__}
    Settings(**told | {"relaxation": asked["relaxation"] or Settings.relaxation})
    om.get_backend(asked["solver"])
    if asked["bounds"].endswith(".npz"):
        asked["bounds"] = om.load_bounds(asked["bounds"])
    several = asked["strategy"] not in ("joint", ELIMINATION)
    temporary = out.with_name(out.name + ".runs.jsonl") if out is not None and several and store is None else None
    runs = store or temporary
    if n is None:
        n = "all" if asked["strategy"] in (*LAYERWISE, ELIMINATION) and not correct_only else _IMAGES
    with progress_bar("programs") as progress, signs_of_life(progress), within(total), ExitStack() as one_program:
        # Reading has as long as a program, and a single program has what it leaves.
        one_program.enter_context(within(Deadline(asked["time_limit"])))
        plain = om.read_network(network, input_shape)
        source = om.load_dataset(data, split=split, download=download)
        plain.check_images(source.images[:1])
        check_labels(source.labels, plain.classes, where=source.source)
        images = source
        if isinstance(n, int):
            images = om.choose_images(source, n=n, seed=asked["seed"], correct_for=plain if correct_only else None)
        elif correct_only:
            raise InputError("correct_only: goes with a number of images, not with all")
        if several:
            one_program.close()
        asked["total_time_limit"] = None if total.seconds is None else seconds_left()
        result = om.score(plain, images, store=runs, progress=progress, **asked)
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
    done = result.status == "optimal" or asked["strategy"] == ELIMINATION
    return 0 if done and not result.out_of_time else UNPROVED


def print_scores(result: Scores) -> None:
    """Print a table of the scores by layer, and under it what they are."""
    rows = [
        [name, str(len(s)), f"{s.mean():.3f}", f"{s.min():.3f}", f"{s.max():.3f}", percent(float((s < _LOW).mean()))]
        for name, s in result.by_layer.items()
    ]
    print_table(["layer", "units", "mean", "min", "max", f"below {_LOW:g}"], rows)
    click.echo(result.summary())


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
