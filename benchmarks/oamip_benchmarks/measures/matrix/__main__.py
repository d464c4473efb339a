"""Reads every operator by every route and opset, and counts what is right.

Run: python -m oamip_benchmarks.measures.matrix

The exit code is 1 where a network is read wrongly, or refused.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from oamip_benchmarks.measures.matrix import files
from oamip_benchmarks.measures.matrix.moves import LAST
from oamip_model.errors import OamipError

TOLERANCE = 1e-5
ROUTES = ("torch", "pt2", "legacy", "dynamo", "operators")


def cells(route: str, opsets: list[int] | None, folder: Path) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """Yields each network of a route: form, name, and a function that reads it."""
    if route == "torch":
        for name in files.MODULES:
            yield "torch module", name, partial(files.difference_of_module, name)
    elif route == "pt2":
        for name in files.MODULES:
            yield ".pt2", name, partial(files.difference_of_program, name, folder / "net.pt2")
    elif route == "operators":
        for opset in range(files.FIRST, LAST + 1):
            for name in files.SINGLE:
                if opset in files.opsets_of(name) and (opsets is None or opset in opsets):
                    read = partial(files.difference_of_operator, name, opset, folder / "net.onnx")
                    yield f"operator, opset {opset}", name, read
    else:
        for opset in files.EXPORTERS[route]:
            if opsets is None or opset in opsets:
                for name in files.MODULES:
                    read = partial(files.difference_of_export, name, route, opset, folder / "net.onnx")
                    yield f"{route} exporter, opset {opset}", name, read


def main() -> int:
    """Print a line for each form, and one for each network that is not right."""
    parser = argparse.ArgumentParser(description="Every operator that is read, by every route and opset.")
    parser.add_argument("--route", choices=ROUTES, action="append")
    parser.add_argument("--opset", type=int, action="append")
    options = parser.parse_args()
    print(f"{'form':<28} {'right':>6} {'wrong':>6} {'refused':>8} {'no export':>10}")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for route in options.route or ROUTES:
            wanted = cells(route, options.opset, Path(folder))
            for form, found in itertools.groupby(wanted, key=lambda cell: cell[0]):
                counts = Counter(_outcome(read, f"{form}: {name}") for _, name, read in found)
                total += counts
                _print(form, counts)
    _print("in all", total)
    return 1 if total["wrong"] or total["refused"] else 0


def _print(form: str, counts: Counter[str]) -> None:
    right, wrong, refused, missing = (counts[outcome] for outcome in ("right", "wrong", "refused", "no export"))
    print(f"{form:<28} {right:6} {wrong:6} {refused:8} {missing:10}", flush=True)


def _outcome(read: Callable[[], float], what: str) -> str:
    try:
        difference = read()
    except files.ExportError:
        return "no export"
    except OamipError as error:
        print(f"{what} is refused: {error}", file=sys.stderr)
        return "refused"
    if difference > TOLERANCE:
        print(f"{what} differs by {difference:.2g}", file=sys.stderr)
        return "wrong"
    return "right"


if __name__ == "__main__":
    os.environ.setdefault("TORCH_LOGS", "-all")
    sys.exit(main())
