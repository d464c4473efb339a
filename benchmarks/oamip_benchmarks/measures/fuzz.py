"""Gives damaged files of every kind to the command line, and reports misbehaviour.

    python -m oamip_benchmarks.measures.fuzz [--files 1000] [--seed 0] [--kind scores --kind onnx ...]

Each must be refused in one line, or read without damage. A file is reported if it ends in a
traceback, in a hang, or in an exit code that its kind does not have. So are more than one line of
errors, and a refused file after which something was written. Exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import oamip_model as om
from oamip_benchmarks import mutations as by
from oamip_model.cli import run

SHAPE, CLASSES = (1, 3, 3), 3
SECONDS = 60
"""How long one command may take, of the processor's time."""
_WAITING = 10
"""How many times as long it may wait."""
_PRUNING = ["experiment", "pruning", "--network", "dense-4", "--epochs", "1", "--method", "decoupled", "--method",
            "random", "--share", "0.5", "--tune", "0", "--seeds", "1", "--data", "data.npz",
            "--out", "study"]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of file, and the command that reads it.

    Parameters
    ----------
    name : str
        Its name.
    files : str
        Pattern of its files in the folder.
    damages : sequence of Damage
        How it is damaged.
    command : sequence of str
        The command that reads it.
    codes : sequence of int
        Exit codes that the command may have.
    """

    name: str
    files: str
    damages: Sequence[by.Damage]
    command: Sequence[str]
    codes: Sequence[int] = (0, 2)


@dataclass(frozen=True)
class Finding:
    """A file that did not end as it should, and how it was damaged."""

    kind: str
    number: int
    damage: str
    what: str


_SCORE = ["score", "net.onnx", "--data", "data.npz", "--images", "6"]
_ANY = (by.damage_bytes, by.damage_place)
_JSON = (by.damage_json, by.damage_json, by.damage_json, *_ANY)
KINDS = (
    Kind("scores", "scores.json", _JSON, ["prune", "net.onnx", "--scores", "scores.json", "--data", "data.npz",
                                          "--amount", "0.5", "--out", "small.onnx"]),
    Kind("store", "runs.jsonl", _JSON, [*_SCORE, "--strategy", "decoupled", "--store", "runs.jsonl"]),
    Kind("bounds", "bounds.npz", (by.damage_arrays, by.damage_arrays, *_ANY),
         [*_SCORE, "--strategy", "joint", "--bounds", "bounds.npz"]),
    Kind("data", "data.npz", (by.damage_arrays, by.damage_arrays, *_ANY),
         ["baseline", "mean-activation", "net.onnx", "--data", "data.npz", "--images", "6"]),
    Kind("idx", "idx/*ubyte*", _ANY,
         ["baseline", "mean-activation", "net.onnx", "--data", "mnist"]),
    Kind("onnx", "net.onnx", (by.damage_message, by.damage_message, by.damage_message, *_ANY),
         ["baseline", "weight-l1", "net.onnx"]),
    Kind("pt2", "net.pt2", (by.damage_parts, by.damage_parts, by.damage_parts, *_ANY),
         ["baseline", "weight-l1", "net.pt2"]),
    Kind("certificate", "certificate.json", _JSON,
         ["check-certificate", "certificate.json", "net.onnx", "less.onnx", "--solver", "highs"], (0, 2, 5)),
    Kind("smaller network", "less.onnx", (by.damage_message, by.damage_message, *_ANY),
         ["check-certificate", "certificate.json", "net.onnx", "less.onnx", "--solver", "highs"], (0, 2, 5)),
    Kind("proof", "proof.json", _JSON, ["check-proof", "proof.json", "net.onnx", "--data", "data.npz"], (0, 2, 5)),
    Kind("signed proof", "proof.json", (by.damage_signed,),
         ["check-proof", "proof.json", "net.onnx", "--data", "data.npz"], (0, 2, 5)),
    Kind("box", "box.npz", (by.damage_arrays, by.damage_arrays, *_ANY),
         ["compress", "net.onnx", "--domain", "box.npz", "--checker", "none", "--out", "small.onnx"]),
    Kind("boxes", "boxes.jsonl", _JSON,
         ["distance", "net.onnx", "less.onnx", "--data", "data.npz", "--images", "3", "--radius", "0.01", "--radius",
          "0.02", "--store", "boxes.jsonl"], (0, 2, 3)),
    Kind("refitted", "net.onnx", (by.damage_message, by.damage_message, by.damage_message, *_ANY),
         ["prune", "net.onnx", "--scores", "scores.json", "--data", "data.npz", "--amount", "0.5", "--refit",
          "outgoing", "--out", "small.onnx"], (0, 2, 5)),
    Kind("rows", "bench/results.jsonl", _JSON, ["bench", "compare", "bench", "bench", "--draws", "100"], (0, 2)),
    Kind("rows for a page", "bench/*.json*", _JSON, ["bench", "report", "bench", "--csv", "rows.csv"], (0, 2, 5)),
    Kind("rows checked", "bench/results.jsonl", _JSON, ["bench", "check", "bench"], (0, 2, 5)),
    Kind("index", "files/index.json", _JSON, ["bench", "check-files", "files", "--solver", "highs"], (0, 2, 5)),
    Kind("study", "study/*.json*", _JSON, ["report", "study"]),
    Kind("study's files", "study/*/*.*", (by.damage_parts, by.damage_json, by.damage_bytes, *_ANY),
         ["report", "study"]),
    Kind("study gone on", "study/*.json*", _JSON, _PRUNING),
    Kind("study's files gone on", "study/*/*.*", (by.damage_parts, by.damage_json, *_ANY),
         [*_PRUNING, "--share", "0.25"]),
)  # fmt: skip


def make_files(folder: Path) -> None:
    """Write a good file of every kind into a folder, which must be the current one."""
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {}
    for part, count in (("train", 30), ("test", 12)):
        labels = np.arange(count) % CLASSES
        images = rng.uniform(0, 1, (count, *SHAPE))
        images[np.arange(count), 0, labels] += 1.0
        parts |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez_compressed(folder / "data.npz", **parts)
    (folder / "idx").mkdir()
    for name, array in (("images-idx3", (255 * parts["x_train"][:, 0] / 2).astype(np.uint8)), ("labels-idx1",
                        parts["y_train"].astype(np.uint8))):  # fmt: skip
        header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
        (folder / "idx" / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
    module = om.make_network("dense-4-3", SHAPE, CLASSES)
    om.save_module(module, folder / "net.onnx", SHAPE)
    om.save_module(module, folder / "net.pt2", SHAPE)
    network = om.read_network(folder / "net.onnx")
    chosen = om.choose_images(om.load_dataset(folder / "data.npz"), n=6)
    om.compute_bounds(network, chosen.images, "crown").save(folder / "bounds.npz")
    np.savez(folder / "box.npz", lower=np.zeros(SHAPE), upper=np.full(SHAPE, 0.3))
    made = [
        ["compress", "net.onnx", "--domain", "box.npz", "--checker", "none", "--out", "less.onnx", "--certificate",
         "certificate.json"],
        ["distance", "net.onnx", "less.onnx", "--data", "data.npz", "--images", "3", "--radius", "0.01", "--store",
         "boxes.jsonl"],
        [*_SCORE, "--images", "3", "--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--proof",
         "proof.json"],
        [*_SCORE, "--strategy", "decoupled", "--out", "scores.json", "--store", "runs.jsonl"],
        _PRUNING,
        ["bench", "run", "--instance", "digits-max-n1-subtractive-continuous-ce", "--time-limit", "20", "--out",
         "bench"],
        ["bench", "export", "--instance", "digits-max-n1-subtractive-continuous-ce", "--format", "lp", "--out",
         "files"],
    ]  # fmt: skip
    for command in made:
        code, told = _run(command)
        if code not in (0, 3):
            raise om.CheckError(f"fuzz: {' '.join(command)} ended with {code}: {told}")


def _run(command: Sequence[str]) -> tuple[int | None, str]:
    """Exit code of a command, None for a traceback or a hang, and its standard error."""
    errors = io.StringIO()
    before = [signal.signal(number, _stop) for number in (signal.SIGPROF, signal.SIGALRM)]
    # Of the processor, as the machine may be busy; what waits forever uses none.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(_WAITING * SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("always", RuntimeWarning)
            code: int | None = run(command)
    except BaseException:  # whatever ends a command in another way than by its exit code is what is looked for
        return None, traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)
    return code, errors.getvalue()


def _stop(number: int, frame: Any) -> None:
    raise _HangError(f"took more than {SECONDS} s")


class _HangError(BaseException):
    """A command that took too long. It is no error that a command may take for one of its own."""


def fuzz(
    folder: Path, count: int, seed: int, kinds: Sequence[str] = (), tell: Callable[[str], None] = lambda line: None
) -> tuple[list[Finding], Counter[tuple[str, int | None]]]:
    """The findings of ``count`` damaged files, and how many ended with each exit code.

    Parameters
    ----------
    folder : Path
        An empty folder, which is the current one meanwhile.
    count : int
        How many files.
    seed : int
        Seed of the damages.
    kinds : sequence of str, optional
        Names of the kinds, all unless given.
    tell : callable, optional
        Is called with a line as files are read.
    """
    good, work = folder / "good", folder / "work"
    chosen = [kind for kind in KINDS if not kinds or kind.name in kinds]
    found: list[Finding] = []
    ends: Counter[tuple[str, int | None]] = Counter()
    good.mkdir()
    with _in_folder(good):
        make_files(good)
    for kind in chosen:
        by.copied(good, work)
        with _in_folder(work):
            code, told = _run(kind.command)
        if code != 0:
            raise om.CheckError(f"fuzz: {' '.join(kind.command)} on good files ended with {code}: {told}")
    for number in range(count):
        kind = chosen[number % len(chosen)]
        pick = random.Random(f"{seed} {number}")
        by.copied(good, work)
        with _in_folder(work):
            finding, code = _one(kind, work, number, pick)
        ends[kind.name, code] += 1
        if finding is not None:
            found.append(finding)
            tell(f"{finding.kind} {finding.number}, {finding.damage}: {finding.what}")
    return found, ends


def _one(kind: Kind, work: Path, number: int, pick: random.Random) -> tuple[Finding | None, int | None]:
    path = pick.choice(sorted(path for path in work.glob(kind.files) if path.is_file()))
    damage = pick.choice(kind.damages)
    if (damage is by.damage_json and path.suffix not in (".json", ".jsonl")) or (
        damage is by.damage_parts and path.suffix not in (".pt", ".pt2")
    ):
        damage = by.damage_bytes
    done = f"{path.relative_to(work)} {damage(path, pick)}"
    before = _state(work)
    code, told = _run(kind.command)
    what = ""
    if code is None:
        what = " | ".join(told.strip().splitlines()[-5:])
    elif code == 5 and told.count("\n") <= 1 and "could not be checked" in told:
        what = ""  # nobody here runs the file, such as one of an opset of old, and the line says so
    elif code not in kind.codes:
        what = f"exit code {code}: {told.strip()[-300:]}"
    elif code == 2 and (len(told.splitlines()) != 1 or not told.startswith("oamip: error: ")):
        what = f"{len(told.splitlines())} lines of errors: {told.strip()[-600:]}"
    elif code == 2 and _state(work) != before:
        what = f"refused, but written: {sorted(_state(work).items() ^ before.items())[:3]}"
    return (Finding(kind.name, number, done, what) if what else None), code


def _state(folder: Path) -> dict[str, int]:
    """The files of a folder with their sizes. Locks, which are empty, do not count."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1
        for path in folder.rglob("*")
        if not path.name.endswith(".lock")
    }


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before, data = Path.cwd(), os.environ.get("OAMIP_DATA")
    os.chdir(folder)
    os.environ["OAMIP_DATA"] = str(folder / "idx")
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("OAMIP_DATA")
        os.environ |= {} if data is None else {"OAMIP_DATA": data}


def main() -> None:
    """Print the findings, and how each kind ended."""
    parser = argparse.ArgumentParser(description="Damaged files of every kind, given to the command line.")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", default=[], choices=[kind.name for kind in KINDS])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oamip-fuzz-") as name:
        found, ends = fuzz(
            Path(name), asked.files, asked.seed, asked.kind, lambda line: print(line, file=sys.stderr, flush=True)
        )
    for kind in dict.fromkeys(kind for kind, _ in ends):
        print(kind, {code: count for (name, code), count in sorted(ends.items(), key=str) if name == kind})
    print(f"{asked.files} files, {len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
