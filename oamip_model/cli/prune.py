"""``oamip prune``: a smaller network from scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from oamip_model.cli.numbers import SHARE_OR_NONE, Count, Threshold
from oamip_model.cli.options import Verb, check_out, data_options, json_option, network_options
from oamip_model.cli.output import percent, print_json, print_table
from oamip_model.errors import InputError
from oamip_model.refit.options import LEVELS


@click.command(cls=Verb)
@network_options
@click.option("--scores", required=True, type=click.Path(path_type=Path), metavar="FILE", help="From `oamip score`.")
@click.option("--threshold", type=Threshold(), help="Units with a lower score go; mean: lower than their layer's mean.")
@click.option("--amount", type=SHARE_OR_NONE, help="This share of the units goes, those with the lowest scores.")
@click.option("--scope", type=click.Choice(["layer", "global"]), default="layer", show_default=True,
              help="--amount of each layer, or of all layers together.")  # fmt: skip
@click.option("--mode", type=click.Choice(["remove", "mask"]), default="remove", show_default=True,
              help="Make layers smaller, or set their units to zero.")  # fmt: skip
@click.option("--refit", type=click.Choice(LEVELS),
              help="Fit the weights that are left to the trained network on the training images of --data, or on all "
              "images of a source without splits, without labels.")  # fmt: skip
@click.option("--images", type=Count(), help="How many of them, as many of each class.  [default: all]")
@data_options(split="test")
@click.option("--out", type=click.Path(path_type=Path), help="Save the network to this .onnx or .pt2 file.")
@json_option
def prune(
    network: str,
    scores: Path,
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    refit: str | None,
    images: int | str | None,
    out: Path | None,
    as_json: bool,
    **rule: Any,
) -> int:
    """Remove the units of low score from the network NET, an .onnx or .pt2 file, and compare accuracies."""
    if (rule["threshold"] is None) == (rule["amount"] is None):
        raise InputError("exactly one of --threshold and --amount is needed")
    if images is not None and refit is None:
        raise InputError("images: only --refit has a use for them")
    if out is not None:
        check_out(out, network, scores, data, suffixes=(".onnx", ".pt2"))

    import oamip_model as om

    known = om.load_scores(scores)
    plain = om.read_network(network, input_shape).check_scored(loss=False)
    test = om.load_dataset(data, split=split, download=download)
    plain.check_images(test.images[:1])
    if refit is not None:
        used = om.load_dataset(data, download=download)
        rule["images"] = om.choose_images(used, n=images) if isinstance(images, int) else used
        rule["refit"] = refit
    before = om.accuracy(plain, test.images, test.labels)
    choice = om.choose_units(known, plain, **{name: rule.pop(name) for name in ("threshold", "amount", "scope")})
    module, report = om.prune_with_report(network, choice, network=plain, **rule)
    after = om.accuracy(module, test.images, test.labels)
    if out is not None:
        om.save_module(module, out, plain.input_shape)

    units = sum(report.units.values())
    left = units - sum(len(gone) for gone in report.removed.values())
    if as_json:
        layers = {
            name: {"units": size, "removed": report.removed[name].tolist()} for name, size in report.units.items()
        }
        print_json({
            "mode": report.mode, "out": None if out is None else str(out), "data": test.source,
            "accuracy_before": before, "accuracy_after": after, "units_before": units, "units_after": left,
            "parameters_before": report.parameters_before, "parameters_after": report.parameters_after,
            "layers": layers, "forced": [list(unit) for unit in report.forced],
            "zeroed": {name: gone.tolist() for name, gone in report.zeroed.items()},
            "refit": None if report.refit is None else report.refit.record(),
            "summary": report.summary(), "scores": known.summary(), "proved": known.proved,
        })  # fmt: skip
        return 0
    rows = [
        ["before", str(units), str(report.parameters_before), percent(before)],
        ["after", str(left), str(report.parameters_after), percent(after)],
    ]
    print_table(["", "units", "parameters", "accuracy"], rows)
    click.echo(f"accuracy on {test.source}")
    click.echo(report.summary())
    click.echo(f"scores: {known.summary()}")
    if out is not None:
        click.echo(f"saved to {out}")
    return 0
