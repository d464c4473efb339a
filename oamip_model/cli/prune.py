"""``oamip prune``: a smaller network from scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from oamip_model.cli.numbers import SHARE_OR_NONE, Count, Threshold, UnitsByLayer
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import (
    Verb,
    check_data,
    check_out,
    check_place,
    data_options,
    json_option,
    network_options,
    weight_options,
    with_class_weights,
    with_sample_weights,
)
from oamip_model.cli.output import INTERRUPTED, UNPROVED, note, percent, print_json, print_table, say
from oamip_model.errors import InputError
from oamip_model.pruning.budgets.options import LIMITS, WORDS, Budget
from oamip_model.refit.options import LEVELS, Refit
from oamip_model.scoring.strategies import ELIMINATION


@click.command(cls=Verb)
@network_options
@click.option("--scores", required=True, type=click.Path(path_type=Path), metavar="FILE", help="From `oamip score`.")
@click.option("--threshold", type=Threshold(), help="Units with a lower score go; mean: lower than their layer's mean.")
@click.option("--amount", type=SHARE_OR_NONE, help="Remove this share of the units, those with the lowest scores.")
@click.option("--scope", type=click.Choice(["layer", "global"]), default="layer", show_default=True,
              help="--amount of each layer, or of all layers together.")  # fmt: skip
@click.option("--mode", type=click.Choice(["remove", "mask"]), default="remove", show_default=True,
              help="Make layers smaller, or set their units to zero.")  # fmt: skip
@click.option("--refit", type=click.Choice(LEVELS),
              help="Fit the weights that are left to the trained network on the training images of --data, or on all "
              "images of a source without splits, without labels.")  # fmt: skip
@object_options(("Budget, in the place of --threshold and --amount", (Budget,)),
                types={"least": UnitsByLayer(), "most": UnitsByLayer()})  # fmt: skip
@object_options(("Refit (om.Refit), with --refit", (Refit,)), without=("level",))
@click.option("--time", "timed", is_flag=True, help="Measure milliseconds before and after: torch, and onnxruntime "
              "where it is installed; 1 and 64 images at a time.")  # fmt: skip
@click.option("--images", type=Count(), help="How many of them, as many of each class.  [default: all]")
@weight_options
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
    output: str | None,
    refit: str | None,
    images: int | str | None,
    class_weight: str | None,
    sample_weight: Path | None,
    timed: bool,
    out: Path | None,
    as_json: bool,
    **rule: Any,
) -> int:
    """Remove the units of low score from the network NET, an .onnx, .pt2 or .nnet file, and compare accuracies.

    --refit outgoing may take long. Ctrl-C ends it with its best pass so far. With --out or --checkpoint the same
    command continues where it was interrupted or killed. What it has is kept in OUT.refit.safetensors until the network
    is saved, or in the file of --checkpoint.
    """
    own = rule["checkpoint"] is None
    fitted, kept = _refit(rule, refit, out)
    budget = _budget(rule)
    if images is not None and refit is None:
        raise InputError("images: only --refit has a use for them")
    for name, value in (("class_weight", class_weight), ("sample_weight", sample_weight)):
        if value is not None and refit is None:
            raise InputError(f"{name}: only --refit has a use for it")
    if out is not None:
        check_out(out, network, scores, data, class_weight, sample_weight, suffixes=(".onnx", ".pt2"))
    if kept is not None:
        given_files = (network, scores, data, class_weight, sample_weight, out)
        check_place(kept, *given_files, suffixes=(".safetensors",), option="--checkpoint")

    import oamip_model as om

    known = om.load_scores(scores)
    plain = om.read_network(network, input_shape, output=output).check_scored(loss=False)
    test = om.load_dataset(data, split=split, download=download)
    check_data(plain, test)
    if refit is not None:
        used = with_sample_weights(om.load_dataset(data, download=download), sample_weight)
        chosen = om.choose_images(used, n=images) if isinstance(images, int) else used
        rule["images"] = with_class_weights(chosen, class_weight)
        rule["refit"] = fitted
    before = om.accuracy(plain, test.images, test.labels)
    asked = {name: rule.pop(name) for name in ("threshold", "amount", "scope")}
    choice = om.choose_units(known, plain, **(asked if budget is None else asked | {"amount": budget}))
    try:
        module, report = om.prune_with_report(network, choice, network=plain, **rule)
    except KeyboardInterrupt:
        if kept is None or not kept.exists():
            raise
        raise KeyboardInterrupt(f"interrupted, nothing was saved; the same command continues from {kept}") from None
    interrupted = report.refit is not None and report.refit.interrupted
    after = om.accuracy(module, test.images, test.labels)
    if out is not None:
        om.save_module(module, out, plain.input_shape)
        if own and kept is not None and not interrupted:
            kept.unlink(missing_ok=True)
    took = _milliseconds(plain, module) if timed else None
    code = 0 if report.plan is None or report.plan.optimal else UNPROVED
    if interrupted:
        code = INTERRUPTED
        note("oamip: interrupted" + (f"; the same command continues from {kept}" if kept is not None else ""))
    assert report.size_before is not None
    assert report.size_after is not None

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
            "macs_before": report.size_before.macs, "macs_after": report.size_after.macs,
            "budget": None if report.plan is None else report.plan.record(), "milliseconds": took,
            "layers": layers, "forced": [list(unit) for unit in report.forced],
            "zeroed": {name: gone.tolist() for name, gone in report.zeroed.items()},
            "refit": None if report.refit is None else report.refit.record(),
            "summary": report.summary(), "scores": known.summary(), "proved": known.proved,
        })  # fmt: skip
        return code
    rows = [
        ["before", str(units), str(report.parameters_before), str(report.size_before.macs), percent(before)],
        ["after", str(left), str(report.parameters_after), str(report.size_after.macs), percent(after)],
    ]
    print_table(["", "units", "parameters", WORDS["macs"], "accuracy"], rows, less=[WORDS["macs"]])
    say(f"accuracy on {test.source}")
    if took is not None:
        places = [(engine, batch) for engine, of in took["before"].items() for batch in of]
        rows = [[name, *(f"{times[engine][batch]:.3f}" for engine, batch in places)] for name, times in took.items()]
        print_table(["milliseconds", *(f"{engine}, {_images(batch)}" for engine, batch in places)], rows)
    say(report.summary())
    say(f"scores: {known.summary()}")
    if known.strategy == ELIMINATION and refit is None:
        note("oamip: these scores were made for a refit, and none was asked for; --refit least-squares takes seconds")
    if out is not None:
        click.echo(f"saved to {out}")
    return code


def _refit(rule: dict[str, Any], level: str | None, out: Path | None) -> tuple[Refit | None, Path | None]:
    """The refit of the options, which are taken out of ``rule``, and the file from which it continues."""
    fields = given({one.name: rule.pop(one.name) for one in dataclasses.fields(Refit) if one.name != "level"})
    if level is None:
        for name, value in fields.items():
            raise InputError(f"{name}: got {value!r}, but only --refit has a use for it")
        return None, None
    if level == LEVELS[-1] and out is not None:
        fields = {"checkpoint": str(_beside(out))} | fields
    made = Refit(level=level, **fields)
    return made, None if made.checkpoint is None else Path(made.checkpoint)


def _beside(out: Path) -> Path:
    """The file from which a refit continues where none is given."""
    return out.with_name(out.name + ".refit.safetensors")


def _budget(rule: dict[str, Any]) -> Budget | None:
    """The budget of the options, which are taken out of ``rule``; None where an amount or a threshold is given."""
    fields = given({one.name: rule.pop(one.name) for one in dataclasses.fields(Budget)})
    limited = any(name in fields for name in (*LIMITS, "milliseconds"))
    if [rule["threshold"] is not None, rule["amount"] is not None, limited].count(True) != 1:
        raise InputError(
            "exactly one of --threshold, --amount and a budget (--macs, --parameters, --milliseconds) is needed"
        )
    if not limited:
        for name, value in fields.items():
            raise InputError(
                f"{name}: got {value!r}, but only a budget (--macs, --parameters, --milliseconds) has a use for it"
            )
        return None
    return Budget(**fields)


def _milliseconds(network: Any, module: Any) -> dict[str, Any]:
    from oamip_model.pruning.rebuild import to_module
    from oamip_model.pruning.timing import measure_milliseconds

    return dict(measure_milliseconds({"before": to_module(network), "after": module}, network.input_shape))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
