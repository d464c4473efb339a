"""Two revisions of the package on the same instances, solved in turn.

Run: python -m oamip_benchmarks.measures.house.revisions OTHER [--solver cbc] [--size small] [--instance NAME ...]
     [--seeds 1] [--repeats 2] [--time-limit 30] [--jobs 1] [--out rows.jsonl]

OTHER is a source tree of the other revision, which is the one that ratios are divided by. A plain
folder will do, without git and not installed. Each revision has a process of its own, which builds
an instance and solves it on request. The order changes from solve to solve. With --jobs N there are
N such pairs of processes. The two sides of a pair never solve at the same time.
The results are the wall clock of the solve, and the CPU seconds of the process and its children. Of
repeated solves the least counts. Each instance's ratios are printed. Over all there are shifted
geometric means with a shift of 1 s, and the ratio of the sums. Proved optima and bounds are compared
up to twice the gap that both are asked for. With --out finished rows are kept in a file, from which
the same command with the same code continues.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from oamip_benchmarks.bench.recipes import choose_recipes
from oamip_benchmarks.measures.house.sides import Side, code_of, in_turns
from oamip_model.errors import OamipError
from oamip_model.records import parse_json
from oamip_model.runs.store import RunStore, key_of

SHIFT = 1.0
"""Seconds that are added in the geometric means, so that short solves do not decide them."""
SAME = 1e-4
"""Relative difference of two optima up to which they are the same: the tolerance that both are asked for."""
MEASURES = ("wall", "cpu", "solver")
_SCRIPT = Path(__file__).with_name("solves.py")


def names_in(checkout: Path) -> set[str]:
    """The names of the instances in a revision's library."""
    path = checkout / "benchmarks" / "oamip_benchmarks" / "bench" / "library" / "instances.json"
    return {instance["name"] for instance in parse_json(path.read_bytes(), str(path))["instances"]}


def compared(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each instance and seed: the answers of both revisions."""
    here = Path(__file__).parents[4]
    store = RunStore(arguments.out)
    codes = [code_of(arguments.other), code_of(here)]
    asked: list[tuple[int, str, dict[str, Any]]] = []
    for question in questions(arguments):
        key = key_of(codes=codes, repeats=arguments.repeats, **question)
        done = store.get(key)
        if done is None:
            asked.append((len(asked), key, question))
        else:
            yield done
    jobs = min(arguments.jobs, len(asked))
    with store.alone(), tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        free: SimpleQueue[dict[str, Side]] = SimpleQueue()
        for job in range(jobs):
            pair = {"before": arguments.other, "after": here}
            sides = {name: Side(root, _SCRIPT, Path(scratch) / f"{name}-{job}") for name, root in pair.items()}
            for side in sides.values():
                opened.callback(side.close)
            free.put(sides)

        def work(item: tuple[int, str, dict[str, Any]]) -> dict[str, Any]:
            number, key, question = item
            sides = free.get()
            try:
                return {"key": key, "row": in_pairs(sides, question, arguments.repeats, bool(number % 2))}
            finally:
                free.put(sides)

        for made in in_turns(work, asked, jobs) if jobs else ():
            store.put(made["key"], made["row"])
            yield made["row"]


def questions(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is asked of both revisions, for each instance that they have and each seed."""
    known = names_in(arguments.other)
    for recipe in choose_recipes(arguments.size, arguments.instance):
        if recipe.name not in known:
            print(f"{recipe.name:55} left out: {arguments.other} does not have it", flush=True)
            continue
        common = {"instance": recipe.name, "solver": arguments.solver, "limit": arguments.time_limit}
        yield from (common | {"seed": seed} for seed in range(arguments.seeds))


def in_pairs(sides: dict[str, Side], question: dict[str, Any], repeats: int, turned: bool) -> dict[str, Any]:
    """The answers of both sides to a question in turn, with the least times of each."""
    row: dict[str, Any] = {key: question[key] for key in ("instance", "seed", "solver")}
    for _ in range(repeats):
        turned = not turned
        for side in sorted(sides, reverse=turned):
            found = sides[side].ask(question)
            if side in row:
                found |= {measure: min(found[measure], row[side][measure]) for measure in MEASURES}
            row[side] = found
    return row


def ended_alike(row: dict[str, Any]) -> bool:
    """Whether both ended with the same status, and where proved the same values."""
    one, other = row["before"], row["after"]
    if one["status"] != other["status"]:
        return False
    if one["status"] != "optimal":
        return True
    return all(_near(one[part], other[part], one["objective"]) for part in ("objective", "bound"))


def contradict(row: dict[str, Any]) -> bool:
    """Whether a side's bound passes the other's objective by more than the gap."""
    sides = (row["before"], row["after"])
    known = [one for one in sides if one["objective"] is not None and one["bound"] is not None]
    # The bound lies below the objective where the program is minimised, and above it otherwise.
    sign = max((one["objective"] - one["bound"] for one in known), key=abs, default=0.0)
    passed = [
        (a["bound"] - b["objective"]) * (1 if sign >= 0 else -1) > SAME * max(1e-9, abs(b["objective"]))
        for a, b in (sides, sides[::-1])
        if a["bound"] is not None and b["objective"] is not None
    ]
    return any(passed)


def _near(a: float | None, b: float | None, size: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= 2 * SAME * max(1e-9, abs(size))


def mean_ratio(rows: list[dict[str, Any]], measure: str) -> float:
    """The ratio of the shifted geometric means."""
    import numpy as np

    logs = [np.log([row[side][measure] + SHIFT for row in rows]) for side in ("before", "after")]
    return float(np.exp(np.mean(logs[1] - logs[0])))


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print the ratios over these rows."""
    sums = {side: sum(row[side]["cpu"] for row in rows) for side in ("before", "after")}
    told = ", ".join(f"{measure} {mean_ratio(rows, measure):.3f}" for measure in MEASURES)
    print(
        f"{title} ({len(rows)}): {told}; seconds of CPU {sums['before']:.1f} and {sums['after']:.1f}, ratio "
        f"{sums['after'] / sums['before']:.3f}",
        flush=True,
    )


def line_of(row: dict[str, Any]) -> str:
    """A row in words: seconds before, ratios, and how the two differ."""
    ratios = " ".join(f"{row['after'][m] / max(row['before'][m], 1e-9):6.2f}" for m in MEASURES)
    ends = "" if ended_alike(row) else f"  {row['before']['status']} / {row['after']['status']}"
    ends += "  a bound passes the other's objective" if contradict(row) else ""
    return f"{row['instance']:55} {row['seed']} {row['before']['cpu']:7.2f} s {ratios}{ends}"


def main() -> None:
    """Solve all instances by both revisions and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--size", action="append", default=None, help="small unless given; may be repeated")
    parser.add_argument("--instance", action="append", default=None, help="only this one; may be repeated")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--time-limit", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=1, help="pairs of processes at a time, each on one core")
    parser.add_argument("--out", type=Path, default=None, help="store of finished rows, which are not solved again")
    arguments = parser.parse_args()
    arguments.size = arguments.size or (["small"] if arguments.instance is None else [])
    arguments.instance = arguments.instance or []
    rows = []
    try:
        for row in compared(arguments):
            rows.append(row)
            print(line_of(row), flush=True)
    except (OamipError, RuntimeError) as error:
        raise SystemExit(f"revisions: {error}") from None
    show(rows, "all")
    alike = [row for row in rows if ended_alike(row)]
    if 0 < len(alike) < len(rows):
        show(alike, "those that end alike")
    wrong = sum(map(contradict, rows))
    print(f"same status, optimum and bound: {len(alike)} of {len(rows)}; a bound passes an objective: {wrong}")


if __name__ == "__main__":
    main()
