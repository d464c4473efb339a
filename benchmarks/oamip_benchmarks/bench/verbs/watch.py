"""``oamip bench watch``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from oamip_benchmarks.bench.verbs.common import findings_of, size_option, teller, verdict
from oamip_benchmarks.bench.verbs.report import print_comparison, record_of
from oamip_model.cli.numbers import SECONDS, Whole
from oamip_model.cli.options import Interrupted, Verb, json_option
from oamip_model.cli.output import print_json
from oamip_model.runs.bars import moving_bar


@click.command(cls=Verb)
@click.option("--solver", "solvers", multiple=True, default=("highs",), show_default=True, help="Repeat for several.")
@size_option
@click.option("--instance", "instances", multiple=True, help="Only these instances; repeat for several.")
@click.option("--time-limit", type=SECONDS, default=10.0, show_default=True,
              help="Seconds of each solve.")  # fmt: skip
@click.option("--seeds", type=Whole(), default=1, show_default=True, help="Seeds of each solve, from 0.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-watch"),
              show_default=True, help="Folder of the runs.")  # fmt: skip
@json_option
def watch(sizes: tuple[str, ...], time_limit: float, out: Path, as_json: bool, **asked: Any) -> int:
    """Run the small set, and print the ratio of its times to those of the last finished run on this machine.

    Other sizes by --size. Exit code 5 where a solution fails its check or two solves contradict each other.
    """
    from oamip_benchmarks.bench.rows import Limits
    from oamip_benchmarks.bench.runner import make_plan
    from oamip_benchmarks.bench.watch import watch as run_watch

    plan = make_plan(sizes=sizes or ("small",), limits=Limits(time_limit), **asked)
    try:
        with moving_bar("solves") as move:
            found = run_watch(plan, out, progress=teller(move))
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; finished solves are in {out}, the same command goes on") from stop
    if as_json:
        print_json({
            "run": str(found.folder), "previous": None if found.previous is None else str(found.previous),
            "comparisons": [record_of(comparison) for comparison in found.comparisons], "unlike": found.unlike,
        })  # fmt: skip
    else:
        solved = sum(row["status"] == "optimal" for row in found.rows)
        seconds = sum(row["wall_seconds"] for row in found.rows)
        click.echo(f"{solved} of {len(found.rows)} solved, {seconds:.0f} s in all, saved to {found.folder}")
        if found.previous is None:
            click.echo("no finished run of this machine to compare with: the next one has this one")
        else:
            click.echo(f"against {found.previous}:")
        if found.unlike:
            click.echo(found.unlike)
        for comparison in found.comparisons:
            print_comparison(comparison)
    return verdict(findings_of(found.rows))
