"""Backends know the solver protocol and scratch folders only, and load no solver before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import oamip_backends

ALLOWED = {
    "__future__",
    "numpy",
    "scipy",
    "oamip_model.solving.protocol",
    "oamip_model.scratch",
} | sys.stdlib_module_names
SOLVERS = {"highs.py": {"highspy"}, "gurobi.py": {"gurobipy"}, "scip.py": {"pyscipopt"}, "pyomo_solver.py": {"pyomo"}}
SOURCES = sorted(Path(next(iter(oamip_backends.__path__))).glob("*.py"))


def imported(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name} imports relatively"
            names.add(node.module or "")
    return names


def test_backends_import_the_protocol_and_scratch_folders_only():
    assert len(SOURCES) > 5
    for source in SOURCES:
        for name in imported(source):
            root = name.partition(".")[0]
            allowed = name in ALLOWED or root in (ALLOWED - {"oamip_model"}) | {"oamip_backends"}
            assert allowed or root in SOLVERS.get(source.name, set()), f"{source.name} imports {name}"


def test_importing_backends_loads_no_solver_and_no_torch():
    modules = ", ".join(f"oamip_backends.{source.stem}" for source in SOURCES if source.stem != "__init__")
    heavy = "{'highspy', 'gurobipy', 'pyscipopt', 'pyomo', 'pulp', 'torch'}"
    code = f"import sys, {modules}, oamip_model.solving.registry; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
