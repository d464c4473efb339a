"""``oamip tightness``: how tight the programs of networks are.

They are compared by gate, relaxation and bounds, with what that costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_benchmarks.tightness.cells import Grid, Objective, cells_of
from oamip_model.checks import by_class
from oamip_model.cli.numbers import Count, Whole
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import Verb, check_data, check_out, data_options, json_option, shape_option
from oamip_model.cli.output import INTERRUPTED, note, print_json, print_table, say
from oamip_model.errors import InputError
from oamip_model.runs.bars import moving_bar
from oamip_model.solving.options import Run, Solver

if TYPE_CHECKING:
    from oamip_benchmarks.tightness import Tightness


GROUPS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("Grid (om.study.Grid)", (Grid,)),
    ("Objective (om.study.Objective)", (Objective,)),
    ("Solver (om.Solver)", (Solver,)),
)


@click.command(cls=Verb)
@click.argument("networks", metavar="NET...", nargs=-1, required=True)
@shape_option
@data_options(split=None)
@click.option("--images", "n", type=Count(), default=4, show_default=True,
              help="How many images, as many of each class; all: every image.")  # fmt: skip
@object_options(*GROUPS, without=("log_file", "store"))
@click.option("--jobs", type=Whole(), help="Processes of the bounds lp and mip.  [default: 1]")
@click.option("--store", type=click.Path(path_type=Path), default=Path("tightness.jsonl"), show_default=True,
              help="Add each finished row to this file, and take from it those that it has.")  # fmt: skip
@click.option("--csv", type=click.Path(path_type=Path), help="Write the rows to this .csv file as well.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write the rows to this .parquet file as well.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw gaps against seconds into a .png, .pdf or .svg file."
)
@json_option
def tightness(
    networks: tuple[str, ...],
    data: str,
    split: Any,
    download: bool,
    input_shape: tuple[int, ...] | None,
    n: int | str,
    store: Path,
    csv: Path | None,
    parquet: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Measure how tight the programs of each network NET are, an .onnx, .pt2 or .nnet file, for some images.

    Each network, gate, relaxation and kind of bounds has a row. It has the size of the program, and
    seconds. Gaps to the best objective known are those of the relaxation at the root, as built and
    after the rounds of tangents and cuts. With --time-limit it has nodes and gap of the integer
    program. A study that was killed or interrupted continues from --store with the same command,
    and measures only what is missing.
    """
    outputs = (("--csv", csv, (".csv",)), ("--parquet", parquet, (".parquet",)), ("--plot", plot, _PICTURES))
    for option, path, suffixes in outputs:
        if path is not None:
            check_out(path, data, store, *networks, option=option, suffixes=suffixes)
    check_out(store, data, *networks, option="--store", suffixes=(".jsonl",))
    names = _names(networks)
    values, _ = by_class((Grid, Objective, Solver, Run), given(options))
    grid, objective, solver = Grid(**values[Grid]), Objective(**values[Objective]), Solver(**values[Solver])
    cells_of(names, grid)

    import oamip_model as om
    from oamip_model.data import check_labels
    from oamip_model.page import check_matplotlib
    from oamip_model.runs.tables import check_pyarrow

    if parquet is not None:
        check_pyarrow()
    if plot is not None:
        check_matplotlib("--plot: the picture needs")
    om.get_backend(solver.name)
    plain = {name: om.read_network(path, input_shape) for name, path in zip(names, networks, strict=True)}
    images = om.load_dataset(data, split=split, download=download)
    for network in plain.values():
        check_data(network, images)
        check_labels(images.labels, network.classes, where=images.source)
    if isinstance(n, int):
        images = om.choose_images(images, n=n, seed=solver.seed or 0)
    with moving_bar("rows") as progress:
        run = Run(**values[Run], store=str(store), progress=progress or False)
        found = om.study.tightness(plain, images, grid=grid, objective=objective, solver=solver, run=run)
    if found.rows:
        for save, path in ((found.save_csv, csv), (found.save_parquet, parquet), (found.plot, plot)):
            if path is not None:
                save(path)
    if found.found:
        note(f"oamip: {found.found} of {found.planned} rows were in {store}")
    if as_json:
        saved = {"store": store, "csv": csv, "parquet": parquet, "plot": plot}
        print_json(
            {"rows": found.records(), "planned": found.planned, "found": found.found, "source": found.source,
             "interrupted": found.interrupted} | {k: None if v is None else str(v) for k, v in saved.items()}
        )  # fmt: skip
    elif found.rows:
        print_rows(found)
    if found.interrupted:
        note(
            f"oamip: interrupted after {len(found.rows)} of {found.planned} rows; the same command goes on from {store}"
        )
        return INTERRUPTED
    return 0


_PICTURES = (".png", ".pdf", ".svg")


def _names(networks: tuple[str, ...]) -> list[str]:
    """Short names of the files, all different."""
    stems = [Path(path).stem for path in networks]
    names = stems if len(set(stems)) == len(stems) else list(networks)
    if len(set(names)) < len(names):
        raise InputError("NET: a network is given twice")
    return names


def print_rows(found: Tightness) -> None:
    """Print a table of a study's rows, and the objectives that its gaps are to."""
    from oamip_benchmarks.tightness.result import KEYS

    heads, rows = found.table()
    print_table(heads, rows, left=len(KEYS), less=found.less)
    for line in found.facts():
        say(line)
