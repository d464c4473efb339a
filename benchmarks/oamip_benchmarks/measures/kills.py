"""Kills and interrupts commands at random moments, and checks what they leave.

Run: python -m oamip_benchmarks.measures.kills

Each command is first run without a disturbance. Then it is started many times in a new folder, and
ended by SIGKILL, SIGINT or SIGTERM at a random moment. The last time it may run to its end. The
checks are:

- nothing is lost: every line of its store that was there after one start is there after the next, unchanged;
- nothing is done twice: no key is in the store twice;
- the result is that of the undisturbed run, seconds aside;
- a run that is interrupted ends with 130 (SIGTERM: 143), one line, and no traceback;
- at the end no temporary file or folder is left.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from oamip_model.scratch import scratch_folder

_OAMIP = [sys.executable, "-c", "from oamip_model.cli import main; main()"]
_INSTANCES = ("digits-max-n1-subtractive-continuous-ce", "digits-dense-n2-switch-binary-hinge",
              "digits-average-n1-subtractive-continuous-ce", "digits-deep-n1-subtractive-continuous-ce")  # fmt: skip
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TRIES = 6
"""Times that a signal is tried, where the command was over before it came."""
_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass(frozen=True)
class Case:
    """A command that can be continued.

    Parameters
    ----------
    name : str
        Its name.
    command : tuple of str
        Its arguments but for --out.
    out : str
        The name of what --out takes.
    store : str
        Its store.
    result : callable
        Reads its result.
    option : str, default "--out"
        The option that takes ``out``.
    """

    name: str
    command: tuple[str, ...]
    out: str
    store: str
    result: Callable[[Path], Any]
    option: str = "--out"


@dataclass
class Findings:
    """What was done to the commands, and what is wrong."""

    kills: int = 0
    interrupts: int = 0
    early: int = 0
    faults: list[str] = field(default_factory=list)


def _scores(out: Path) -> Any:
    record = json.loads(out.read_text())
    programs = [
        {name: program[name] for name in ("status", "objective", "bound", "layer")} for program in record["programs"]
    ]
    return {name: record[name] for name in ("by_layer", "status", "planned", "interrupted")} | {"programs": programs}


def _rows(out: Path) -> Any:
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return sorted((row["key"], row["status"], round(row["objective"], 6)) for row in rows)


def _boxes(out: Path) -> Any:
    rows = [json.loads(line)["record"] for line in out.read_text().splitlines()]
    return sorted((row["radius"], row["image"], row["same"], round(row["bound"], 6)) for row in rows)


def _table(out: Path, study: str = "pruning") -> Any:
    with (out / f"{study}.csv").open(newline="") as file:
        return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in csv.DictReader(file)]


def cases(folder: Path) -> Iterator[Case]:
    """The commands, on a network that is trained here and saved in the folder."""
    import oamip_model as om

    train = om.load_dataset(split="train")
    module = om.make_network("dense-16-8-8-8")
    om.train(module, *train, epochs=3, threads=1)
    net = str(om.save_module(module, folder / "net.onnx", (1, 28, 28)))
    published = ("--gate", "published", "--relaxed", "--loss", "hinge")
    batches = ("score", net, "--images", "60", "--strategy", "batches", "--batch-size", "5", *published)
    yield Case("batches", batches, "scores.json", "scores.json.runs.jsonl", _scores)
    decoupled = ("score", net, "--strategy", "decoupled", "--jobs", "2")
    yield Case("decoupled", decoupled, "scores.json", "scores.json.runs.jsonl", _scores)
    yield Case(
        "forward",
        ("score", net, "--strategy", "forward", "--amount", "0.5"),
        "scores.json",
        "scores.json.runs.jsonl",
        _scores,
    )
    instances = tuple(word for name in _INSTANCES for word in ("--instance", name))
    yield Case("bench run", ("bench", "run", "--time-limit", "30", *instances), "run", "run/results.jsonl", _rows)
    study = ("experiment", "pruning", "--network", "dense-8-8", "--epochs", "2", "--method", "random", "--method",
             "decoupled", "--share", "0.5", "--seeds", "2", "--tune", "1", "--training-images", "500")  # fmt: skip
    yield Case("experiment", study, "run", "run/cells.jsonl", _table)
    refits = ("experiment", "refit", "--network", "dense-8-8", "--epochs", "2", "--method", "random", "--method",
              "elimination", "--share", "0.5", "--seeds", "2", "--training-images", "500")  # fmt: skip
    yield Case("experiment refit", refits, "run", "run/cells.jsonl", partial(_table, study="refit"))
    pruned = om.prune(net, om.baseline_scores(om.read_network(net), "weight-l1"), amount=0.3)
    smaller = str(om.save_module(pruned, folder / "less.onnx", (1, 28, 28)))
    boxes = ("distance", net, smaller, "--images", "16", "--radius", "0.002", "--radius", "0.01", "--time-limit", "60")
    yield Case("distance", boxes, "boxes.jsonl", "boxes.jsonl", _boxes, "--store")


def start(case: Case, folder: Path, temporary: Path) -> subprocess.Popen[str]:
    """The command, started in a folder, with temporary files of its own place."""
    environment = dict(os.environ) | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*_OAMIP, *case.command, case.option, case.out], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def lines(case: Case, folder: Path) -> list[str]:
    """The whole lines of the store."""
    path = folder / case.store
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] if path.exists() else []


def disturb(case: Case, number: signal.Signals, moment: float, folder: Path, temporary: Path, found: Findings) -> bool:
    """Whether a signal ended the command after so many seconds; its end is checked."""
    before = lines(case, folder)
    running = start(case, folder, temporary)
    try:
        _, told = running.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        running.send_signal(number)
        _, told = running.communicate(timeout=120)
        ended = True
    else:
        ended = False
    where = f"{case.name}, {number.name} after {moment:.2f} s"
    finished = case.out != case.store and (folder / case.out).is_file()
    after = lines(case, folder)
    if not finished and after[: len(before)] != before:
        found.faults.append(f"{where}: {len(before)} lines of the store before, {len(after)} others after")
    code = running.returncode
    if ended and number in _CODES and code != 0:
        last = told.splitlines()[-1] if told else ""
        if code != _CODES[number] or "Traceback" in told or "interrupted" not in last:
            found.faults.append(f"{where}: exit code {code}: {told[-300:]}")
    elif not ended and code not in (0, 3):
        found.faults.append(f"{where}: ended by itself with {code}: {told[-300:]}")
    return ended and code != 0


def run_case(
    case: Case, signals: list[signal.Signals], folder: Path, random: np.random.Generator, found: Findings
) -> None:
    """Run a command undisturbed, then disturbed by these signals, and compare."""
    calm, rough, temporary = (folder / f"{case.name}-{part}" for part in ("calm", "rough", "temporary"))
    for made in (calm, rough, temporary):
        made.mkdir()
    began = time.monotonic()
    running = start(case, calm, temporary)
    _, told = running.communicate()
    seconds = time.monotonic() - began
    if running.returncode not in (0, 3):
        found.faults.append(f"{case.name}: undisturbed it ends with {running.returncode}: {told[-300:]}")
        return
    for number in signals:
        for _ in range(_TRIES):
            moment = float(random.uniform(0.2, 0.9)) * seconds
            if disturb(case, number, moment, rough, temporary, found):
                found.kills += number == signal.SIGKILL
                found.interrupts += number != signal.SIGKILL
                break
            # It was over before: with less to wait for, and from the beginning.
            found.early += 1
            seconds *= 0.7
            shutil.rmtree(rough)
            rough.mkdir()
    running = start(case, rough, temporary)
    _, told = running.communicate()
    if running.returncode not in (0, 3):
        found.faults.append(f"{case.name}: at last it ends with {running.returncode}: {told[-300:]}")
        return
    if case.result(rough / case.out) != case.result(calm / case.out):
        found.faults.append(f"{case.name}: the result is not that of the undisturbed run")
    keys = [json.loads(line)["key"] for line in lines(case, rough)]
    if len(keys) != len(set(keys)):
        found.faults.append(f"{case.name}: {len(keys) - len(set(keys))} keys are in the store twice")
    hidden = [p.name for p in rough.rglob(".*") if p.is_file() and p.suffix != ".lock"]
    left = sorted(p.name for p in temporary.glob("oamip-*")) + hidden
    if left:
        found.faults.append(f"{case.name}: left behind: {', '.join(left)}")


@click.command()
@click.option("--kills", default=12, show_default=True, help="By SIGKILL.")
@click.option("--interrupts", default=12, show_default=True, help="By SIGINT and SIGTERM in turn.")
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
def main(kills: int, interrupts: int, seed: int) -> None:
    """Kill and interrupt commands at random moments, and check what they make of it."""
    random = np.random.default_rng(seed)
    planned = [signal.SIGKILL] * kills + [_SIGNALS[k % 2] for k in range(interrupts)]
    order = [planned[k] for k in random.permutation(len(planned))]
    found = Findings()
    with scratch_folder("kills") as folder:
        chosen = list(cases(folder))
        for place, case in enumerate(chosen):
            run_case(case, order[place :: len(chosen)], folder, random, found)
            told = f"{found.kills} kills, {found.interrupts} interrupts, {found.early} too late"
            click.echo(f"{case.name}: so far {told}, {len(found.faults)} faults")
    for fault in found.faults:
        click.echo(f"fault: {' '.join(fault.split())}")
    raise SystemExit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
