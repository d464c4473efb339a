"""``oamip bench report`` and ``oamip bench compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.numbers import SEED, Whole
from oamip_model.cli.options import Verb, check_out, json_option
from oamip_model.cli.output import note, print_json, print_table, say
from oamip_model.errors import CheckError

if TYPE_CHECKING:
    from oamip_benchmarks.bench.compare import Comparison

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(cls=Verb)
@click.argument("run", type=_FOLDER, metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), help="The .html file.  [default: RUN/report.html]")
@click.option("--csv", type=click.Path(path_type=Path), help="Write the rows to this .csv file as well.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write the rows to this .parquet file as well.")
@json_option
def report(run: Path, out: Path | None, csv: Path | None, parquet: Path | None, as_json: bool) -> int:
    """Make one HTML page of the run in folder RUN, which needs no other file and no network.

    Exit code 5 where solves contradict each other, or a solution failed its check.
    """
    out = run / "report.html" if out is None else out
    for path, option, suffix in ((out, "--out", ".html"), (csv, "--csv", ".csv"), (parquet, "--parquet", ".parquet")):
        if path is not None:
            check_out(path, suffixes=(suffix,), option=option)
    from oamip_benchmarks.bench.reporting.export import flat_table
    from oamip_benchmarks.bench.reporting.page import make_report, summary_rows
    from oamip_benchmarks.bench.rows import read_rows
    from oamip_model.runs.tables import check_pyarrow, write_csv, write_parquet

    if parquet is not None:
        check_pyarrow()
    page, solves = make_report(run, read_rows(run), place=out.parent)
    page.save(out)
    if csv is not None:
        write_csv(flat_table(solves), csv)
    if parquet is not None:
        write_parquet(flat_table(solves), parquet)
    summary = summary_rows(solves) if solves.problems else []
    wrong, pairs = solves.failed_checks(), solves.disagreements()
    if as_json:
        print_json({
            "report": str(out), "solves": len(solves.rows), "unpaired": len(solves.unpaired), "variants": summary,
            "failed_checks": len(wrong), "disagreements": len(pairs),
            "licence": [[solves.variant(row), row["instance"], row["seed"]] for row in solves.unlicensed],
        })  # fmt: skip
    else:
        rows = [[s["variant"], f"{s['solved']}/{s['of']}", *(f"{s[name]:.3g}" for name in list(s)[3:6])]
                for s in summary]  # fmt: skip
        print_table(["variant", "solved", "mean, shift 10 s", "shift 1 s", "PAR10"], rows)
        if solves.unlicensed:
            note(f"oamip: {len(solves.unlicensed)} solves were forbidden by a licence: in no mean, named on the page")
        click.echo(f"saved to {out}")
    if wrong or pairs:
        note(f"oamip: {len(wrong)} solutions failed their check, {len(pairs)} pairs of solves contradict each other")
        return CheckError.exit_code
    return 0


@click.command(cls=Verb)
@click.argument("before", type=_FOLDER, metavar="BEFORE")
@click.argument("after", type=_FOLDER, metavar="AFTER")
@click.option("--draws", type=Whole(100, 10_000_000), default=10_000, show_default=True, help="Draws of the bootstrap.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the bootstrap.")
@json_option
def compare(before: Path, after: Path, draws: int, seed: int, as_json: bool) -> int:
    """Compare two runs pair by pair, by instance and seed: the ratio of their times, AFTER over BEFORE.

    Solves that were not solved count as their time limit, and are named.
    """
    from oamip_benchmarks.bench.compare import compare_runs
    from oamip_benchmarks.bench.rows import read_rows

    found = compare_runs(read_rows(before), read_rows(after), draws=draws, seed=seed)
    if as_json:
        print_json({"comparisons": [record_of(comparison) for comparison in found]})
        return 0
    for number, comparison in enumerate(found):
        if number:
            click.echo()
        print_comparison(comparison)
    return 0


def record_of(comparison: Comparison) -> dict[str, Any]:
    """A comparison as --json prints it."""
    from oamip_benchmarks.bench.compare import censoring

    return {
        "before": comparison.before, "after": comparison.after, "pairs": len(comparison.pairs),
        "instances": comparison.instances, "verdict": comparison.verdict(),
        "ratios": {f"shift {shift:g} s": asdict(ratio) for shift, ratio in comparison.ratios.items()},
        "censored": [
            {"instance": pair[0]["instance"], "seed": pair[0]["seed"], "what": censoring(pair)}
            for pair in comparison.censored
        ],
        "unpaired": list(comparison.unpaired),
    }  # fmt: skip


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison as a table, its extremes, and what is censored or unpaired."""
    from oamip_benchmarks.bench.compare import censoring, extremes
    from oamip_benchmarks.bench.reporting.rows import solve_seconds

    same = comparison.before == comparison.after
    say(comparison.before if same else f"{comparison.before} -> {comparison.after}")
    rows = [
        [f"shift {shift:g} s", f"{r.before:.3f}", f"{r.after:.3f}", f"{r.ratio:.3f}", f"{r.low:.3f} to {r.high:.3f}"]
        for shift, r in comparison.ratios.items()
    ]
    print_table(["geometric mean", "before, s", "after, s", "ratio", "95 % interval"], rows)
    say(
        f"{comparison.verdict()}; {len(comparison.pairs)} pairs of {comparison.instances} instances, "
        f"{len(comparison.censored)} censored"
    )
    if any(row.get("parallel") for pair in comparison.pairs for row in pair):
        click.echo("some solves ran beside others: their times are not to be relied on")
    for ratio, (a, b) in extremes(comparison):
        say(f"  {ratio:7.3f}  {a['instance']}, seed {a['seed']}: {solve_seconds(a):.2f} -> {solve_seconds(b):.2f} s")
    for pair in comparison.censored:
        say(f"  censored: {pair[0]['instance']}, seed {pair[0]['seed']}: {censoring(pair)}")
    for label in comparison.unpaired:
        click.echo(f"  unpaired: {label}")
