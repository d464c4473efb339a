"""``oamip bounds``: bounds of pre-activations, a report and a file.

The report says what each method decided.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.checks import by_class
from oamip_model.cli.numbers import SEED, Count, Number
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import Verb, check_data, check_out, data_options, json_option, network_options
from oamip_model.cli.output import print_json, print_table, say
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.settings import Formulation, validity_of
from oamip_model.tightening.methods import Tightening

if TYPE_CHECKING:
    from oamip_model.bounds import Bounds, Cutoff


_OF_THE_CUTOFF = ("loss", "weight", "margin", "sparsity")


@click.command(cls=Verb)
@network_options
@data_options(split=None)
@click.option("--images", "n", type=Count(), default=10, show_default=True,
              help="How many images, as many of each class; all: every image.")  # fmt: skip
@click.option("--correct-only", is_flag=True, help="Only images that the network classifies correctly.")
@object_options(("Method (om.Tightening)", (Tightening,)))
@object_options(
    ("Program (om.Formulation); all but the gate with --cutoff", (Formulation,)),
    without=("relaxation", "scores", "relaxed"),
)
@click.option("--cutoff", type=Number(),
              help="The objective of scores that are known, as `oamip score` prints it: bounds "
              "for scores no worse, with --method lp and mip. Of the program with --loss, --weight, --margin and "
              "--sparsity.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the choice of images.")
@click.option("--out", type=click.Path(path_type=Path), help="Save the bounds to this .npz file, for score --bounds.")
@json_option
def bounds(
    network: str,
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    n: int | str,
    correct_only: bool,
    cutoff: float | None,
    seed: int,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Bound the pre-activations of the network NET, an .onnx, .pt2 or .nnet file, for some images.

    Each method and ReLU layer has a line, over all images. It has the numbers of ReLUs that are
    always off, always on and unstable, and of those that this method decided. The mean width of the
    bounds follows.
    `oamip score --bounds FILE` takes the file that --out wrote, with the same network, data, images
    and seed. With --gate published it takes one of --method interval. With --cutoff it needs the
    same --loss, --weight, --margin and --sparsity.
    """
    values, _ = by_class((Tightening, Formulation), given(options))
    form = values[Formulation]
    program: dict[str, Any] = {name: form[name] for name in _OF_THE_CUTOFF if name in form}
    if program and cutoff is None:
        name, value = next(iter(program.items()))
        raise InputError(f"{name}: got {value}, but bounds depend on the objective only where --cutoff is given")
    method = Tightening(**values[Tightening])
    if out is not None:
        check_out(out, network, data, suffixes=(".npz",))

    import oamip_model as om

    gate = gate_named(form.get("gate", Formulation().gate))
    settings = Formulation(scores=gate.scores[0], **form)
    deadline = Deadline(method.time_limit)
    with within(deadline):
        plain = om.read_network(network, input_shape, output=output).check_scored(loss=False)
    source = om.load_dataset(data, split=split, download=download)
    check_data(plain, source)
    images = source
    if isinstance(n, int):
        images = om.choose_images(source, n=n, seed=seed, correct_for=plain if correct_only else None)
    elif correct_only:
        raise InputError("correct_only: goes with a number of images, not with all")
    known = None if cutoff is None else om.Cutoff(cutoff, images.labels, **program)
    epsilon, validity = settings.epsilon or 0.0, validity_of(settings.gate)
    with within(deadline):
        asked = replace(method, time_limit=seconds_left())
        found = om.compute_bounds(plain, images.images, asked, epsilon=epsilon, validity=validity, cutoff=known)
    if out is not None:
        found.save(out)
    if as_json:
        print_json(record(found) | {"images": len(images.labels), "out": None if out is None else str(out)})
    else:
        print_bounds(found)
        if out is not None:
            click.echo(f"saved to {out}")
    return 0


def print_bounds(found: Bounds) -> None:
    """Print a table of what each method decided in each layer."""
    rows = [
        [r.layer, r.method, str(r.off), str(r.on), str(r.unstable), str(r.decided), f"{r.mean_width:.4g}",
         f"{r.seconds:.2f}"]
        for r in found.reports
    ]  # fmt: skip
    columns = ["layer", "method", "off", "on", "unstable", "decided here", "mean width", "seconds"]
    print_table(columns, rows, left=2, less=["seconds"])
    if found.cutoff is not None:
        say(f"for scores with an objective of at most {found.cutoff.objective:g} ({_program(found.cutoff)})")


def _program(cutoff: Cutoff) -> str:
    """The settings of the program whose objective a cutoff is."""
    weight = "" if cutoff.loss == "margin" else f", weight {cutoff.weight:g}"
    margin = "" if cutoff.loss == "cross-entropy" else f", margin {cutoff.margin:g}"
    return f"loss {cutoff.loss}{weight}{margin}, sparsity {cutoff.sparsity}"


def record(found: Bounds) -> dict[str, Any]:
    """What --json prints of bounds."""
    last = {r.layer: r for r in found.reports}
    totals = {name: sum(getattr(r, name) for r in last.values()) for name in ("off", "on", "unstable")}
    return {
        "method": found.method, "validity": found.validity, "epsilon": found.epsilon, "network": found.network,
        "images_fingerprint": found.images, "relus": totals,
        "seconds": sum(r.seconds for r in found.reports), "layers": [asdict(r) for r in found.reports],
        "cutoff": None if found.cutoff is None else asdict(found.cutoff),
    }  # fmt: skip
