"""``oamip bench export`` and ``oamip bench check-files``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_benchmarks.bench.verbs.common import size_option, tag_option
from oamip_model.cli.numbers import SECONDS
from oamip_model.cli.options import Interrupted, Verb, json_option
from oamip_model.cli.output import UNPROVED, note, print_json, print_table, say
from oamip_model.errors import CheckError
from oamip_model.runs.bars import moving_bar

if TYPE_CHECKING:
    from oamip_benchmarks.bench.files.check import FileFindings
    from oamip_benchmarks.bench.files.solvers import Answer

_instance_option = click.option(
    "--instance", "instances", multiple=True, help="Only these instances; repeat for several."
)


@click.command(cls=Verb)
@size_option
@tag_option
@_instance_option
@click.option("--format", "formats", type=click.Choice(["mps", "lp"]), multiple=True, default=("mps", "lp"),
              show_default=True, help="Repeat for several.")  # fmt: skip
@click.option("--time-limit", type=SECONDS, default=300.0, show_default=True,
              help="Seconds for the tangents of one instance.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-files"),
              show_default=True, help="Folder of the files, made if it is not there.")  # fmt: skip
@json_option
def export(
    sizes: tuple[str, ...],
    tags: tuple[str, ...],
    instances: tuple[str, ...],
    formats: tuple[str, ...],
    time_limit: float,
    out: Path,
    as_json: bool,
) -> int:  # fmt: skip
    """Write instances as .mps.gz and .lp.gz files, for any solver, with an index of what they are.

    The loss cross-entropy is not linear. Its files hold the tangents that solve the continuous
    relaxation, and their optimum is a lower bound of the instance's. The index says so of each.
    Exit code 3 where the time limit
    stopped the tangents of one.
    """
    from oamip_benchmarks.bench.files.export import export as export_files
    from oamip_benchmarks.bench.recipes import choose_recipes

    chosen = choose_recipes(sizes, instances, tags)
    try:
        with moving_bar("instances") as move:
            entries = export_files(chosen, out, formats, time_limit=time_limit, progress=move)
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; finished files are in {out}") from stop
    open_ones = [entry["instance"] for entry in entries if not entry["tangents_settled"]]
    if as_json:
        print_json({"out": str(out), "instances": entries})
    else:
        files = sum(len(formats) for _ in entries)
        say(f"{files} files of {len(entries)} instances in {out}; {out / 'index.json'} says what they are")
    for name in open_ones:
        note(f"oamip: the tangents of {name} stopped at the time limit: its optimum is a weaker bound")
    return UNPROVED if open_ones else 0


@click.command("export-vnnlib", cls=Verb)
@size_option
@tag_option
@_instance_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("bench-vnnlib"),
              show_default=True, help="Folder of the files, made if it is not there.")  # fmt: skip
@json_option
def export_vnnlib(
    sizes: tuple[str, ...], tags: tuple[str, ...], instances: tuple[str, ...], out: Path, as_json: bool
) -> int:
    """Write box instances for verifiers: networks as ONNX, questions as VNN-LIB, and the answers in an index.

    Each instance is two questions: does a logit reach just less than its largest value in the box (sat), and just more
    (unsat)?
    """
    from oamip_benchmarks.bench.boxes.vnnlib import export_vnnlib as export_files
    from oamip_benchmarks.bench.recipes import choose_recipes

    chosen = choose_recipes(sizes, instances, tags if instances else ("box", *tags))
    entries = export_files(chosen, out)
    if as_json:
        print_json({"out": str(out), "instances": entries})
    else:
        files = sum(len(entry["properties"]) for entry in entries)
        say(f"{files} properties of {len(entries)} instances in {out}; {out / 'index.json'} has their answers")
    return 0


@click.command("check-files", cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER")
@click.option("--solver", "solvers", multiple=True, help="Repeat for several.  [default: all that are installed]")
@_instance_option
@click.option("--time-limit", type=SECONDS, default=60.0, show_default=True,
              help="Seconds of each file and solver.")  # fmt: skip
@json_option
def check_files(
    folder: Path, solvers: tuple[str, ...], instances: tuple[str, ...], time_limit: float, as_json: bool
) -> int:
    """Give every file in FOLDER, which `oamip bench export` made, to every solver, and compare what they find.

    Solvers read the files themselves: highs, cbc, scip, gurobi. Exit code 5 where two optima differ by more than 1e-6,
    3 where a solver stopped at the time limit. Programs too large for a licence are named and not counted.
    """
    from oamip_benchmarks.bench.files.check import check_files as check

    try:
        with moving_bar("solves") as move:
            tell = move if move is not None else lambda done, total, line: note(f"{done}/{total} {line}")
            found = check(folder, solvers, time_limit=time_limit, instances=instances, progress=tell)
    except KeyboardInterrupt as stop:
        raise Interrupted("interrupted, nothing was saved") from stop
    if as_json:
        print_json({"instances": [_record(findings) for findings in found]})
    else:
        _print(found)
    for line in (line for findings in found for line in findings.disagreements):
        click.secho(f"disagree: {line}", fg="red", err=True)
    if any(findings.disagreements for findings in found):
        return CheckError.exit_code
    return 0 if all(findings.proved for findings in found) else UNPROVED


def _record(findings: FileFindings) -> dict[str, Any]:
    answers = [{"file": file, "solver": solver} | vars(answer) for (file, solver), answer in findings.answers.items()]
    return {"instance": findings.instance, "answers": answers, "disagreements": list(findings.disagreements)}


def _print(found: list[FileFindings]) -> None:
    solvers = list(dict.fromkeys(solver for findings in found for _, solver in findings.answers))
    rows = [
        [file, *(_told(findings.answers[file, solver]) for solver in solvers)]
        for findings in found
        for file in dict.fromkeys(file for file, _ in findings.answers)
    ]
    print_table(["file", *solvers], rows)
    for message in sorted({a.message for findings in found for a in findings.answers.values() if a.message}):
        note(f"oamip: {message}")
    solved = sum(a.status == "optimal" for findings in found for a in findings.answers.values())
    refused = sum(a.status == "licence" for findings in found for a in findings.answers.values())
    total = sum(len(findings.answers) for findings in found)
    say(f"{solved} of {total} to an optimum, {refused} too large for a licence, "
               f"{total - solved - refused} stopped or failed")  # fmt: skip


def _told(answer: Answer) -> str:
    return f"{answer.objective:.9g}" if answer.status == "optimal" and answer.objective is not None else answer.status
