"""``oamip bench``: the benchmark's verbs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_benchmarks.bench.verbs.common import findings_of, size_option, tag_option, teller, verdict
from oamip_benchmarks.bench.verbs.files import check_files, export, export_vnnlib
from oamip_benchmarks.bench.verbs.report import compare, report
from oamip_benchmarks.bench.verbs.watch import watch
from oamip_model.cli.numbers import GAP, NOT_NEGATIVE, SECONDS, Whole
from oamip_model.cli.options import Interrupted, Verb, json_option
from oamip_model.cli.output import note, number, print_json, print_table
from oamip_model.runs.bars import moving_bar

if TYPE_CHECKING:
    from oamip_benchmarks.bench.recipes import Recipe


@click.group()
def bench() -> None:
    """Benchmark solvers on fixed instances: run, check, report, compare, watch, export."""


bench.add_command(report)
bench.add_command(compare)
bench.add_command(export)
bench.add_command(export_vnnlib)
bench.add_command(check_files)
bench.add_command(watch)


@bench.command("list", cls=Verb)
@size_option
@tag_option
@json_option
def list_instances(sizes: tuple[str, ...], tags: tuple[str, ...], as_json: bool) -> int:
    """List the instances: what they are made of, their shape, and the best that is known.

    With --json also their tags, and features of program and network.
    """
    from dataclasses import asdict

    from oamip_benchmarks.bench.recipes import choose_recipes, features_of

    chosen = choose_recipes(sizes, tags=tags)
    if as_json:
        told = [{**asdict(recipe), "tags": recipe.tags, "features": features_of(recipe)} for recipe in chosen]
        print_json({"instances": told})
        return 0
    columns = ["instance", "size", "rows", "columns", "binaries", "non-zeros", "objective", "bound"]
    print_table(
        columns, [_line(recipe) for recipe in chosen], left=2, less=["objective", "columns", "size", "non-zeros"]
    )
    return 0


def _line(recipe: Recipe) -> list[str]:
    best = recipe.best
    return [recipe.name, recipe.size, *map(str, recipe.shape), number(best.objective), number(best.bound)]


@bench.command(cls=Verb)
@click.option("--solver", "solvers", multiple=True, default=("highs",), show_default=True, help="Repeat for several.")
@click.option("--bounds", multiple=True, default=("interval",), show_default=True, help="Repeat for several.")
@click.option("--relaxation", "relaxations", multiple=True, default=("big-m",), show_default=True,
              help="Repeat for several.")  # fmt: skip
@size_option
@tag_option
@click.option("--instance", "instances", multiple=True, help="Only these instances; repeat for several.")
@click.option("--seeds", type=Whole(), default=1, show_default=True, help="Seeds of each solve, from 0.")
@click.option("--permuted", is_flag=True,
              help="Seeds from 1 on permute rows and columns instead of being the solver's.")  # fmt: skip
@click.option("--time-limit", type=SECONDS, default=60.0, show_default=True,
              help="Seconds of each solve.")  # fmt: skip
@click.option("--grace", type=NOT_NEGATIVE, default=10.0, show_default=True,
              help="Seconds beyond the limit before a solve is killed.")  # fmt: skip
@click.option("--memory", type=Whole(256), default=4096, show_default=True, help="Cap of a solve, in MiB.")
@click.option("--threads", type=Whole(), default=1, show_default=True, help="Threads of each solve.")
@click.option("--tolerance", type=GAP, default=1e-4,
              show_default=True, help="Relative gap that counts as optimal, for every solver.")  # fmt: skip
@click.option("--jobs", type=Whole(), default=1, show_default=True,
              help="Solves at once; the times of such rows are marked as parallel.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-run"), show_default=True,
              help="Folder of the run; the same command adds what is missing in it.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List the solves, and run none.")
@json_option
def run(
    sizes: tuple[str, ...], time_limit: float, threads: int, tolerance: float, memory: int, permuted: bool, out: Path,
    dry_run: bool, as_json: bool, jobs: int, grace: float, **asked: Any,
) -> int:  # fmt: skip
    """Solve instances, one process a solve, and keep a row of each, whatever becomes of it.

    Exit code 5 where a solution fails its check or two solves contradict each other.
    """
    from oamip_benchmarks.bench.rows import Limits
    from oamip_benchmarks.bench.runner import make_plan, run_plan

    plan = make_plan(sizes=sizes, limits=Limits(time_limit, threads, tolerance, memory, permuted), **asked)
    if dry_run:
        if as_json:
            print_json({"solves": [solve.row() for solve in plan]})
        else:
            for solve in plan:
                click.echo(solve.label)
            note(f"{len(plan)} solves, at most {sum(solve.time_limit for solve in plan):g} s in the solvers")
        return 0
    try:
        with moving_bar("solves") as move:
            rows = run_plan(plan, out, jobs=jobs, grace=grace, progress=teller(move))
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; finished solves are in {out}, the same command goes on") from stop
    found = findings_of(rows)
    counts = Counter((row["solver"], row["status"]) for row in rows)
    if as_json:
        print_json({"out": str(out), "solves": len(rows), "passed": found.passed,
                    "statuses": [[*key, count] for key, count in sorted(counts.items())]})  # fmt: skip
    else:
        print_table(
            ["solver", "status", "solves"], [[*key, str(count)] for key, count in sorted(counts.items())], left=2
        )
        click.echo(f"saved to {out}")
    return verdict(found)


@bench.command(cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="RUN")
@json_option
def check(folder: Path, as_json: bool) -> int:
    """Check every stored solution of the run in folder RUN again, and every claim against every other.

    Rows and bounds are added up in exact arithmetic, the scores replayed through the network. Exit code 5 where
    anything fails.
    """
    from oamip_benchmarks.bench.recheck import check_run
    from oamip_benchmarks.bench.rows import read_rows

    try:
        with moving_bar("rows") as move:
            found = check_run(folder, read_rows(folder), None if move is None else lambda k, n: move(k, n, ""))
    except KeyboardInterrupt as stop:
        raise Interrupted("interrupted, nothing was found out") from stop
    if as_json:
        print_json({
            "checked": found.checked, "passed": found.passed,
            "failed": [{"key": row["key"], "message": message} for row, message in found.failed],
            "disagreements": [[a["key"], b["key"]] for a, b in found.disagreements],
            "wrong": [row["key"] for row in found.wrong],
        })  # fmt: skip
    else:
        click.echo(f"{found.checked} solutions checked")
    return verdict(found)
