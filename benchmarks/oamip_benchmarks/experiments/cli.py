"""``oamip experiment``: one verb for each study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from oamip_benchmarks.experiments.boxes.names import TOOL_NAMES
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.cells import ELIMINATION, LEVELS, METHODS
from oamip_benchmarks.experiments.importances import IMPORTANCES
from oamip_benchmarks.experiments.study import Asked, Study
from oamip_model.cli.numbers import SHARE, Count, Number, Whole
from oamip_model.cli.options import DATA, Interrupted, Verb, check_out, json_option
from oamip_model.cli.output import note, print_json, print_table, say
from oamip_model.runs.bars import moving_bar
from oamip_model.training.recipe import Schedule


class _Method(click.Choice[str]):
    """A method's name; the help text lists them once."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for it."""
        return "METHOD"


Option = Callable[[Callable[..., Any]], Callable[..., Any]]
_METHOD = _Method((*METHODS, ELIMINATION))
# field of Asked: flag, type, whether it is repeated, and what it is.
_OPTIONS: dict[str, tuple[str, Any, bool, str]] = {
    "methods": ("--method", _METHOD, True, "Ways of scoring: " + ", ".join((*METHODS, ELIMINATION)) + "."),
    "shares": ("--share", SHARE, True, "Share of each layer's units that is removed."),
    "scopes": (
        "--scope",
        click.Choice(["layer", "global"]),
        True,
        "Whether --share is of each layer, or of all units.",
    ),
    "images": ("--images", Count(), False, "How many training images score the units, as many of each class."),
    "counts": ("--images", Count(), True, "How many training images score the units."),
    "tune": ("--tune", Whole(0), False, "Epochs of fine-tuning; 0: none."),
    "tuned": ("--tuned", _METHOD, True, "Methods whose networks are fine-tuned, too."),
    "weights": ("--weight", Number(0, least_open=True), True, "Weight of the loss."),
    "every": ("--every", Whole(), False, "Epochs between two prunings."),
    "target": ("--to", str, False, "The data set that is trained on, after scoring on --data."),
    "per_class": ("--per-class", Whole(), False, "Images of each class."),
    "levels": ("--level", click.Choice(LEVELS), True, "What is done to the weights that are left."),
    "refit_images": ("--refit-images", Count(), False, "How many training images the refit sees, without labels."),
    "tunes": ("--tune", Whole(0), True, "Epochs of fine-tuning; 0: none."),
    "importances": ("--importance", click.Choice(tuple(IMPORTANCES)), True, "Importances of Torch-Pruning."),
    "radius": ("--radius", Number(0, 1, least_open=True), False, "Half the width of a box, of pixels in [0, 1]."),
    "boxes": ("--boxes", Whole(), False, "Boxes, around the first test images."),
    "tools": ("--tool", click.Choice(TOOL_NAMES), True, "Whose programs are solved."),
    "solver": ("--solver", str, False, "Who solves them: a name of `oamip solvers`."),
    "time_limit": ("--time-limit", Number(0, least_open=True), False, "Seconds of each program."),
    "distance_limit": ("--distance-limit", Number(0, least_open=True), False, "Seconds of each certified distance."),
    "keep": ("--keep", SHARE, False, "Share of all units that is kept."),
}


@click.group()
def experiment() -> None:
    """Conduct a study of pruning: training, scoring and pruning, with a table, CSV files and a figure.

    A study that was stopped or killed continues with the same command. Several studies may share a
    folder, and then its trained networks. `oamip report` makes a page of the folder.
    """


def _command(study: Study) -> click.Command:
    def run(
        networks: tuple[str, ...], data: str, seeds: int, out: Path, jobs: int, as_json: bool, **asked: Any
    ) -> int:  # fmt: skip
        given = {name: _counted(value) for name, value in asked.items()}
        return conduct_and_tell(study, Asked(networks, data, seeds, **given), out, jobs, as_json)

    command: Callable[..., Any] = json_option(run)
    for option in reversed(_options(study)):
        command = option(command)
    return click.command(study.name, cls=Verb, help=study.about)(command)


def _options(study: Study) -> list[Option]:
    found: list[Option] = [
        click.option("--network", "networks", multiple=True, default=("fc3",), show_default=True, metavar="NAME",
                     help="fc3, fc4, lenet5, dense-H1-H2-..., vgg16-bn or resnet20; repeat for several."),
        click.option("--data", default=DATA, show_default=True, metavar="D",
                     help="A data set's name, or an .npz file with training and test images."),
        click.option("--seeds", type=Whole(), default=3, show_default=True, help="How many, from 0."),
        click.option("--epochs", type=Whole(), help="Epochs of training.  [default: those of the published runs]"),
        click.option("--schedule", type=click.Choice(get_args(Schedule)), default=study.schedule,
                     help="Learning rate: constant, as in the published runs, or falling to 0 along half a "
                     f"cosine.  [default: {study.schedule or 'constant'}]"),
        click.option("--training-images", type=Whole(), help="How many are trained on.  [default: all]"),
        click.option("--download", is_flag=True, help="Fetch data sets from OpenML that are not here."),
        click.option("--device", default="cpu", show_default=True, metavar="D",
                     help="Device of training: cpu, cuda or auto."),
        click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("experiment"),
                     show_default=True, help="Folder of the run."),
        click.option("--jobs", type=Whole(), default=1, show_default=True, help="Cells at a time, one process each."),
    ]  # fmt: skip
    for name, default in study.options.items():
        flag, kind, multiple, text = _OPTIONS[name]
        if name == "methods" and study.own_methods:
            kind, text = (
                _Method((*_METHOD.choices, *study.own_methods)),
                f"{text[:-1]}, {', '.join(study.own_methods)}.",
            )
        shown = tuple("all" if value is None else value for value in default) if multiple else default
        shown = "all" if shown is None else shown
        found.append(
            click.option(flag, name, type=kind, multiple=multiple, default=shown, show_default=True,
                         help=text + (" Repeat for several." if multiple else ""))
        )  # fmt: skip
    return found


def _counted(value: Any) -> Any:
    """The value with "all" as None, which is what studies call it."""
    if isinstance(value, tuple):
        return tuple(_counted(part) for part in value)
    return None if value == "all" else value


def conduct_and_tell(study: Study, asked: Asked, out: Path, jobs: int, as_json: bool) -> int:
    """Conduct a study, with a bar, and print its table. Returns the exit code."""
    from oamip_benchmarks.experiments.conduct import conduct
    from oamip_benchmarks.experiments.reporting.table import headings, shared, text_cells, used

    with moving_bar("cells") as move:
        seen = -1

        def tell(done: int, total: int, line: str) -> None:
            nonlocal seen
            if move is not None:
                move(done, total, line)
            elif done > seen >= 0:
                note(f"{done}/{total} {line}")
            seen = done

        try:
            found = conduct(study, asked, out, jobs=jobs, progress=tell)
        except KeyboardInterrupt as stop:
            raise Interrupted(f"interrupted; finished cells are in {out}, the same command goes on") from stop
    if as_json:
        print_json({
            "study": study.name, "out": str(out), "cells": found.cells, "done_now": found.done,
            "table": [line.plain() for line in found.lines], "files": [str(path) for path in found.files],
        })  # fmt: skip
        return 0
    rows = used(study.rows, found.lines)
    heads = headings(rows, study.values)
    # A narrow terminal shows neither what all lines share nor, where that is too little, the last values.
    less = [*heads[len(rows) + 1 :], *headings(shared(rows, found.lines), ())]
    print_table(heads, [text_cells(line, rows, study.values) for line in found.lines], len(rows), less)
    click.echo(f"mean ± deviation over {asked.seeds} seeds" if asked.seeds > 1 else "one seed")
    if found.done:
        click.echo(f"saved to {', '.join(map(str, found.files))}")
    else:
        say(f"all {found.cells} cells were in {out} already: nothing was computed")
    return 0


@click.command(cls=Verb)
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="RUN_DIR")
@click.option("--out", type=click.Path(path_type=Path), help="The .html file.  [default: RUN_DIR/report.html]")
@json_option
def report(run: Path, out: Path | None, as_json: bool) -> int:
    """Make one HTML page of the studies in RUN_DIR, the folder of `oamip experiment`.

    It needs no other file and no network: tables, curves, scores unit by unit, confusion matrices, and what was proved.
    """
    out = check_out(run / "report.html" if out is None else out, suffixes=(".html",))
    from oamip_benchmarks.experiments.reporting.page import make_report

    page, studies = make_report(run)
    page.save(out)
    if as_json:
        print_json({"report": str(out), "studies": studies})
    else:
        click.echo(f"{studies} {'study' if studies == 1 else 'studies'}, saved to {out}")
    return 0


for _study in STUDIES.values():
    experiment.add_command(_command(_study))
