"""``oamip distance``: how far a pruned network is from the network, over boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.certificates.compress import DOMAIN
from oamip_model.cli.numbers import NOT_NEGATIVE, SECONDS, SEED, Whole
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import DATA, Verb, check_data, check_log, check_out, json_option, reading_options
from oamip_model.cli.output import UNPROVED, number, print_json, print_table
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import InputError
from oamip_model.runs.bars import moving_bar
from oamip_model.solving.options import Solver

if TYPE_CHECKING:
    from oamip_model.certify.distances import Distance
    from oamip_model.network.types import Network

_NORMS = ("inf", "1")
_OF_IMAGES = ("data", "images", "seed_images", "clip", "store", "plot")


class Limits(click.ParamType[tuple[float, float]]):
    """Two numbers with a comma: 0,1."""

    name = "LOWER,UPPER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """The two numbers."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two numbers, such as 0,1", param, ctx)
        return low, high


@click.command(cls=Verb)
@click.argument("network", metavar="NET")
@click.argument("pruned", metavar="PRUNED...", nargs=-1, required=True)
@reading_options
@click.option("--domain", metavar="BOX", help=DOMAIN)
@click.option("--norm", type=click.Choice(_NORMS),
              help="Of the difference of the logits, with --domain.  [default: inf]")  # fmt: skip
@click.option("--radius", "radii", type=NOT_NEGATIVE, multiple=True,
              help="In the place of --domain: boxes of this half width around images; may be repeated.")  # fmt: skip
@click.option(
    "--data", default=None, metavar="D", help=f"Their data set, of which the test images are taken.  [default: {DATA}]"
)
@click.option("--images", type=Whole(1), default=None, help="How many images, as many of each class.  [default: 20]")
@click.option("--seed-images", type=SEED, default=None, help="Of the choice of images.  [default: 0]")
@click.option("--clip", type=Limits(), help="Limits of every input, beyond which no box reaches.")
@click.option(
    "--store", type=click.Path(path_type=Path), help="Add each finished box to this .jsonl file, and go on from it."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Picture: boxes with the same class against units removed."
)
@object_options(("Solver (om.Solver)", (Solver,)), without=("tolerance", "time_limit"))
@click.option("--time-limit", type=SECONDS, help="Seconds for each box.")
@json_option
def distance(
    network: str,
    pruned: tuple[str, ...],
    input_shape: tuple[int, ...] | None,
    output: str | None,
    domain: str | None,
    norm: str | None,
    radii: tuple[float, ...],
    time_limit: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Bound how far the logits of PRUNED are from those of NET in a box of inputs, and whether the class is the same.

    With --domain one box, class by class, with an input that shows how far the bound is from the truth. With --radius
    boxes around images, for one pruned network or several; finished ones are kept in the file of --store.

    Bounds hold whenever the time is up. Exit code 3 where something is left open.
    """
    of_images = {name: options.pop(name) for name in _OF_IMAGES}
    wanted = given(options)
    solver = Solver(wanted.pop("solver", Solver().name), time_limit=time_limit, **wanted)
    if (domain is None) == (not radii):
        raise InputError("domain: either --domain or --radius is needed")
    if domain is None and norm is not None:
        raise InputError(f"norm: got {norm}, but only --domain has a use for it")
    asked = [name for name, value in of_images.items() if value is not None]
    if domain is not None and (asked or len(pruned) > 1):
        raise InputError(f"{asked[0]}: goes with --radius" if asked else "domain: goes with one pruned network")
    check_log(wanted.get("log_file"), network, *pruned, of_images["store"], of_images["plot"])
    for name, suffix in (("store", ".jsonl"), ("plot", ".png")):
        if of_images[name] is not None:
            check_out(of_images[name], network, *pruned, suffixes=(suffix,), option=f"--{name}")

    import oamip_model as om

    # Reading has as long as a box, and a single box has what it leaves.
    with within(Deadline(time_limit)):
        plain = om.read_network(network, input_shape, output=output)
        others = [om.read_network(name, input_shape) for name in pruned]
        if domain is not None:
            found = om.distance(plain, others[0], domain, solver=replace(solver, time_limit=seconds_left()))
            return _print_one(found, norm or "inf", as_json)
    return _sweep(plain, dict(zip(pruned, others, strict=True)), radii, solver, as_json, **of_images)


def _print_one(found: Distance, norm: str, as_json: bool) -> int:
    same = {True: "yes", False: "no", None: "open"}[found.same]
    if as_json:
        print_json({
            "norm": norm, "bound": found.bound(norm), "seen": found.seen(norm), "proved": found.proved,
            "classes": [{"bound": float(found.upper[c]), "seen": float(found.lower[c]), "proof": proof,
                         "point": found.points[c].tolist()} for c, proof in enumerate(found.proofs)],
            "same_class": found.same, "same_class_proof": found.same_proof,
            "differs_at": None if found.differs is None else found.differs.tolist(),
        })  # fmt: skip
    else:
        rows = [[str(c), number(u), number(low), proof] for c, (u, low, proof) in
                enumerate(zip(found.upper.tolist(), found.lower.tolist(), found.proofs, strict=True))]  # fmt: skip
        print_table(["class", "bound", "seen", "proof"], rows)
        click.echo(f"norm {norm}: at most {found.bound(norm):.6g}, at least {found.seen(norm):.6g}")
        proof = "" if found.same_proof is None else f" ({found.same_proof})"
        click.echo(f"same class everywhere: {same}{proof}")
    return 0 if found.proved and found.same is not None else UNPROVED


def _sweep(
    plain: Network, others: dict[str, Network], radii: tuple[float, ...], solver: Solver, as_json: bool,
    *, data: str | None, images: int | None, seed_images: int | None, clip: tuple[float, float] | None,
    store: Path | None, plot: Path | None,
) -> int:  # fmt: skip
    import oamip_model as om
    from oamip_model.certify.sweep import distances, plot_same, summary

    source = om.load_dataset(DATA if data is None else data, split="test")
    check_data(plain, source)
    chosen = om.choose_images(source, n=images or 20, seed=seed_images or 0)
    units = sum(group.size for group in plain.groups)
    rows, records = {}, {}
    for name, other in others.items():
        with moving_bar("boxes") as progress:
            boxes = distances(plain, other, chosen.images, radii, solver=solver, clip=clip, store=store, tell=progress)
        share = 1.0 - sum(group.size for group in other.groups) / max(units, 1)
        rows[share], records[name] = summary(boxes), summary(boxes)
    if plot is not None:
        plot_same(rows, plot)
    if as_json:
        print_json({"networks": records, "images": len(chosen.labels), "plot": None if plot is None else str(plot)})
    else:
        columns = ("radius", "boxes", "same", "certified", "differ", "open", "bound", "seen", "seconds")
        table = [[name, *(number(row[c], 4) for c in columns)] for name, own in records.items() for row in own]
        print_table(["network", *columns], table, less=["seconds"])
        if plot is not None:
            click.echo(f"saved to {plot}")
    return UNPROVED if any(row["open"] for own in records.values() for row in own) else 0
