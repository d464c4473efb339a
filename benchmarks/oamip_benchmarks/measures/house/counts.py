"""Counts of how the code is built, for several checkouts side by side.

Run: python -m oamip_benchmarks.measures.house.counts CHECKOUT [CHECKOUT ...]

Nothing of a checkout is imported: its files are parsed, so that old revisions are counted as new ones are.
A Markdown table is printed, one column for each checkout, in the order given.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("oamip_model", "backends", "benchmarks")
GATES = ("subtractive", "switch")
MAPS = "Dense|Conv2d|AveragePool|ChannelScale"
TEN = 10


@dataclass(frozen=True)
class Checkout:
    """The Python files of a checkout, as text and parsed, by their path in it.

    Parameters
    ----------
    folder : Path
        The root of the checkout.
    """

    folder: Path

    @property
    def files(self) -> dict[Path, str]:
        """The text of each file of the packages, by its path."""
        found = sorted(path for package in PACKAGES for path in (self.folder / package).rglob("*.py"))
        return {path.relative_to(self.folder): path.read_text(encoding="utf-8") for path in found}

    @property
    def core(self) -> dict[Path, str]:
        """The files of oamip_model alone."""
        return {path: text for path, text in self.files.items() if path.parts[0] == "oamip_model"}


def rows(checkout: Checkout) -> dict[str, str]:
    """The counts of a checkout, by what is counted."""
    core, every = checkout.core, checkout.files
    longest = sorted(parameter_counts(core), reverse=True)[:TEN]
    rooms = Counter(path.parent for path in every)
    room, most = rooms.most_common(1)[0]
    lengths = {path: len(text.splitlines()) for path, text in every.items()}
    found = {f"files that name the gate `{gate}`": str(len(naming(core, gate))) for gate in GATES}
    return found | {
        "files that ask for the type of a linear map": str(len(asking(core))),
        "parameters of the ten largest public functions": ", ".join(map(str, longest)),
        "public functions with more than eight parameters": str(sum(count > 8 for count in parameter_counts(every))),
        "files in the largest folder": f"{most} (`{room.as_posix()}`)",
        "files of more than 300 lines": str(sum(length > 300 for length in lengths.values())),
        "pairs of files that import each other": str(len(circles(every))),
        "lines of `oamip_model`": f"{sum(lengths[path] for path in core):,}",
        "files of `oamip_model`": str(len(core)),
    }


def naming(files: dict[Path, str], name: str) -> list[Path]:
    """The files in which a name stands as a text of its own."""
    return [path for path, text in files.items() if re.search(rf"[\"']{name}[\"']", text)]


def asking(files: dict[Path, str]) -> list[Path]:
    """The files that ask whether an object is a linear map of a kind."""
    return [path for path, text in files.items() if re.search(rf"isinstance\([^)]*\b({MAPS})\b", text)]


def parameter_counts(files: dict[Path, str]) -> list[int]:
    """The number of parameters of each public function and method but for verbs.

    Examples
    --------
    >>> parameter_counts({Path("a.py"): "def f(a, *, b): ...", Path("b.py"): "def _own(a): ..."})
    [2]
    """
    return [count for text in files.values() for count in _counts(ast.parse(text))]


def _counts(node: ast.Module | ast.ClassDef) -> Iterator[int]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from _counts(inner)
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
            if re.search(r"\b(command|group)\(", " ".join(map(ast.unparse, inner.decorator_list))):
                continue
            given = inner.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            yield sum(one is not None and one.arg not in ("self", "cls") for one in every)


def circles(files: dict[Path, str]) -> set[tuple[str, str]]:
    """The pairs of modules that import each other, also inside functions."""
    modules = {_module(path): ast.parse(text) for path, text in files.items()}
    uses = {name: set(_imported(tree)) & modules.keys() - {name} for name, tree in modules.items()}
    return {(a, b) for a, found in uses.items() for b in found if a < b and a in uses[b]}


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[1:] if parts[0] in ("backends", "benchmarks") else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def table(checkouts: list[Checkout]) -> str:
    """The counts of all checkouts as a Markdown table."""
    counted = [rows(checkout) for checkout in checkouts]
    heads = ["", *(checkout.folder.resolve().name for checkout in checkouts)]
    lines = [[name, *(found[name] for found in counted)] for name in counted[0]]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])


def main() -> None:
    """Print the table of the checkouts that the command line names."""
    parser = argparse.ArgumentParser(description="Counts of how the code is built, for several checkouts.")
    parser.add_argument("checkouts", type=Path, nargs="+", help="Roots of checkouts, the oldest first.")
    print(table([Checkout(folder) for folder in parser.parse_args().checkouts]))


if __name__ == "__main__":
    main()
