"""``oamip demo``: all of it, small."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.options import Verb, json_option
from oamip_model.cli.output import UNPROVED, note, number, percent, print_json, print_table
from oamip_model.errors import CheckError

if TYPE_CHECKING:
    from oamip_model.demo import Demo


@click.command(cls=Verb)
@click.option("--out", default="demo", show_default=True, metavar="FOLDER", help="Where the files go.")
@json_option
def demo(out: str, as_json: bool) -> int:
    """Train, score, prune, prove and compare, on the images that come with the package, in about a minute."""
    from oamip_model.demo import run_demo

    began = time.monotonic()
    found = run_demo(out, progress=lambda line: note(f"[{time.monotonic() - began:4.0f} s] {line}"))
    if as_json:
        print_json(_record(found))
    else:
        _print(found)
    if any(a.agree is False for a in found.agreements):
        raise CheckError("the two solvers disagree on an objective")
    if found.proved.replay is None or not found.proved.replay.passed:
        raise CheckError("the replay check failed: the program's logits are not those of the network")
    settled = found.scores.status == "optimal" and found.proved.proved and all(a.agree for a in found.agreements)
    return 0 if settled else UNPROVED


def _print(found: Demo) -> None:
    click.echo("1. Prune a 784-300-100-10 network by its scores, no fine-tuning.")
    click.echo(f"   published program, {found.scores.solver} {found.scores.version}: {found.scores.summary()}")
    click.echo(f"   layer by layer, {found.layerwise.solver} {found.layerwise.version}: {found.layerwise.summary()}")
    click.echo(f"   accuracy on {found.test}\n")
    rows = [["0 %", str(found.parameters), *[percent(found.accuracy)] * 4]]
    rows += [
        [f"{100 * r.share:.0f} %", str(r.parameters), *map(percent, (r.scores, r.layerwise, r.weight_norm, r.random))]
        for r in found.rows
    ]
    print_table(["units removed", "parameters", "published", "layer by layer", "weight norm", "random"], rows, left=0)
    kept = ", ".join(f"{name} {int(s.sum())} of {len(s)}" for name, s in found.proved.by_layer.items())
    click.echo("\n2. The fewest units of a 784-16-8-10 network, against its loss, by an integer program.")
    click.echo(f"   solver: {found.proved.solver} {found.proved.version}: {found.proved.summary()}")
    click.echo(f"   units kept: {kept}")
    click.echo("\n3. The published and the integer program by a second solver.\n")
    table = [
        [a.program, *(f"{s} {number(v, 8)}" for s, v in zip(a.solvers, a.objectives, strict=True)),
         number(a.difference, 2), {True: "yes", False: "NO", None: "not solved"}[a.agree]]
        for a in found.agreements
    ]  # fmt: skip
    print_table(["program", "objective", "objective", "difference", "agree"], table, left=3)
    click.echo(f"\nfiles: {', '.join(str(path) for path in found.files)}")
    if found.no_picture:
        click.echo(found.no_picture)
    click.echo(f"{found.seconds:.0f} seconds")


def _record(found: Demo) -> dict[str, Any]:
    def told(scores: Any) -> dict[str, Any]:
        names = ("solver", "version", "status", "objective", "bound", "gap", "proved", "relaxed")
        return {name: getattr(scores, name) for name in names} | {"summary": scores.summary()}

    return {
        "accuracy": found.accuracy,
        "parameters": found.parameters,
        "test": found.test,
        "scores": told(found.scores),
        "layerwise": told(found.layerwise),
        "pruned": [vars(row) for row in found.rows],
        "proved": told(found.proved),
        "agreements": [vars(a) for a in found.agreements],
        "files": [str(path) for path in found.files],
        "no_picture": found.no_picture,
        "seconds": found.seconds,
    }
