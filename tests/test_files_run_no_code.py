"""No source of this project reads a file in a way by which the file could run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("oamip_model", "backends", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "runpy"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
NEEDS = {
    "torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "npy.read_array": ("allow_pickle", False),
}  # fmt: skip
READS = {"load", "loads", "unsafe_load", "full_load", "unsafe_load_all", "load_all"}
PLACES = {
    # What the parent process wrote a moment before into a folder of its own, which nobody else may enter.
    "joblib.load": {"oamip_model/solving/workers/parallel.py"},
    # A line as it was just written, and not one of a file.
    # So are those that a script damages on purpose, or reads of commands that it ran itself.
    "json.loads": {
        "oamip_model/records.py", "oamip_model/runs/store.py", "benchmarks/oamip_benchmarks/measures/kills.py",
        "benchmarks/oamip_benchmarks/mutations.py", "benchmarks/oamip_benchmarks/measures/house/pairs.py",
        "benchmarks/oamip_benchmarks/measures/house/solves.py",
    },
    # Whose parts were all checked by name.
    "torch.export.load": {"oamip_model/network/readers/torch/pt2_archive.py"},
    "torch.jit.load": set(), "json.load": set(), "torch.package": set(),
}  # fmt: skip


def findings(source: str, where: str) -> Iterator[str]:
    """What in a source could run what a file says."""
    for node in ast.walk(ast.parse(source)):
        line = f"{where}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"{line} imports {name}" for name in names if name.split(".")[0] in MODULES)
            if isinstance(node, ast.ImportFrom) and names[0].split(".")[0] in ("torch", "numpy", "joblib", "json"):
                yield from (f"{line} imports {alias.name}" for alias in node.names if alias.name in READS)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in BUILTINS:
            yield f"{line} calls {name}"
        name = name.replace("numpy.", "np.")
        if name in NEEDS:
            keyword, value = NEEDS[name]
            given = next((entry.value for entry in node.keywords if entry.arg == keyword), None)
            if not isinstance(given, ast.Constant) or given.value is not value:
                yield f"{line} calls {name} without {keyword}={value}"
        if name in PLACES and where not in PLACES[name]:
            yield f"{line} calls {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_reads_no_file_that_could_run_something(path: Path) -> None:
    assert not list(findings(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))))


@pytest.mark.parametrize("text", [
    "import pickle", "from dill import load", "import yaml", "from torch import load", "from numpy import load",
    "torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=asked)", "np.load(p)",
    "np.load(p, allow_pickle=True)", "numpy.load(p)", "joblib.load(p)", "eval(text)", "exec(text)",
    "torch.export.load(p)", "torch.jit.load(p)", "json.loads(p.read_text())", "from joblib import load",
])  # fmt: skip
def test_such_a_way_is_found(text: str) -> None:
    assert list(findings(text, "somewhere.py"))


@pytest.mark.parametrize("text", [
    "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "module.eval()", "re.compile('a')",
    "model.graph.eval(1)",
])  # fmt: skip
def test_other_ways_are_not(text: str) -> None:
    assert not list(findings(text, "somewhere.py"))


def test_there_are_sources() -> None:
    assert len(SOURCES) > 200
