"""The arrows between the rooms: each knows only those before it, and the package is light until it is used."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import oamip_model

HOUSE = Path(next(iter(oamip_model.__path__)))
# First to last: a room may import what stands before it. Data and training are beside the way that a network takes.
ROOMS = [
    "errors", "kinds", "checks", "clock", "read", "records", "scratch", "files", "arrays", "lazy", "registry",
    "network", "proofcheck", "data", "training", "bounds", "formulation", "runs", "solving", "tightening", "stochastic",
    "torchnet", "refit", "scoring", "pruning", "certify", "page", "cli",
]  # fmt: skip
# Rooms whose place is beside, and which therefore may not be imported by these.
APART = {"network": {"data", "training"}, "bounds": {"data", "training"}, "formulation": {"training"},
         "solving": {"data", "training"}, "data": {"network"}, "training": {"network"}}  # fmt: skip
HEAVY = {"torch", "pyomo", "matplotlib", "onnx", "highspy", "gurobipy", "pyscipopt", "scipy.optimize", "sklearn"}


def room_of(name: str) -> str:
    """The room of a dotted module name of the package, or of a file in it."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(source: Path) -> set[str]:
    """Modules of this package that a file imports, wherever in it: at the top, in functions, for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.relative_to(HOUSE)} imports relatively"
            base = node.module or ""
            # "from oamip_model import x" may name a room.
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "oamip_model" else {base}
    return {name for name in found if name == "oamip_model" or name.startswith("oamip_model.")}


SOURCES = sorted(path for path in HOUSE.rglob("*.py") if path.parent != HOUSE)


def test_every_folder_is_a_room_with_a_place():
    folders = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    assert folders <= set(ROOMS), f"give {folders - set(ROOMS)} a place in ROOMS"
    assert {"network", "bounds", "formulation", "runs", "solving", "scoring", "pruning", "cli"} <= folders


def test_the_architecture_page_shows_the_rooms_in_this_order():
    page = (Path(__file__).parents[1] / "docs" / "explanation" / "architecture.md").read_text()
    picture = page.partition("```mermaid")[2].partition("```")[0]
    chains = [line.split("-->") for line in picture.splitlines() if "-->" in line]
    shown = [name.strip() for chain in chains[:-1] for name in chain]
    listed = re.findall(r"^\| `([a-z]+)` \|", page, flags=re.MULTILINE)
    wanted = " --> ".join(ROOMS)
    assert shown == ROOMS, f"the picture in docs/explanation/architecture.md has to show {wanted}"
    assert listed == ROOMS, f"the table in docs/explanation/architecture.md has to list {wanted}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_no_room_imports_a_later_one(source):
    room = source.relative_to(HOUSE).parts[0]
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) - APART.get(room, set())
    homes = vars(oamip_model)["_HOMES"]
    for name in imports(source):
        # A public name of the package stands for the room that it lives in.
        used = room_of(name)
        used = homes.get(used, used)
        assert not used or used in allowed, f"{room} imports {name}, of a later room"


def module_of(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def edges(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules that a file imports, also in functions; a lazy name of a package stands for the file that it lives in."""
    tree = ast.parse(path.read_text())
    skipped = set()
    if path.name == "__init__.py":
        # What a package names for type checkers alone, it loads when somebody asks.
        blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
        skipped = {id(node) for block in blocks for node in ast.walk(block)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            homes = {}
            if modules[node.module].name == "__init__.py":
                homes = getattr(importlib.import_module(node.module), "_HOMES", {})
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                home = f"{node.module}.{homes[alias.name]}" if alias.name in homes else node.module
                found.add(whole if whole in modules else home)
    return {name for name in found if name in modules} - {module_of(path)}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules each of which reaches every other of its set, of two or more."""
    reached = {}
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            for after in graph[waiting.pop()] - seen:
                seen.add(after)
                waiting.append(after)
        reached[start] = seen
    sets = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph}
    return [sorted(found) for found in sets if len(found) > 1]


def test_no_files_import_each_other_in_a_circle_of_any_length():
    modules = {module_of(path): path for path in HOUSE.rglob("*.py")}
    assert circles({name: edges(path, modules) for name, path in modules.items()}) == []
    # Nor would one go unseen.
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


PACKAGES = (HOUSE, HOUSE.parent / "backends" / "oamip_backends", HOUSE.parent / "benchmarks" / "oamip_benchmarks")


def test_every_package_is_installed():
    packages = {
        ".".join(path.relative_to(package.parent).parts[:-1])
        for package in PACKAGES
        for path in package.rglob("__init__.py")
    }
    wanted = configparser.ConfigParser()
    wanted.read(HOUSE.parent / "setup.cfg")
    listed = set(wanted["options"]["packages"].split())
    assert packages <= listed, f"setup.cfg does not list {sorted(packages - listed)}"


def test_no_folder_is_crowded_and_no_file_is_long():
    files = [path for package in PACKAGES for path in package.rglob("*.py")]
    folders = Counter(path.parent for path in files)
    assert {str(folder): count for folder, count in folders.items() if count > 14} == {}
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def asks_for_a_map(path: Path, kinds: set[str]) -> bool:
    """Whether a file asks which linear map it has: by isinstance, type() or a pattern."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oamip_model.network"):
            names |= {alias.asname or alias.name for alias in node.names if alias.name in kinds}

    def named(node: ast.AST) -> bool:
        return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))

    def asks(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id in ("isinstance", "issubclass") and named(node.args[1])
        if isinstance(node, ast.Compare):
            return "type(" in ast.unparse(node) and named(node)
        return isinstance(node, ast.MatchClass) and named(node.cls)

    return any(asks(node) for node in ast.walk(tree))


def test_at_most_three_files_ask_which_linear_map_they_have():
    from oamip_model.network import maps

    kinds = {name for name in dir(maps) if isinstance(getattr(maps, name), type)}
    kinds = {name for name in kinds if issubclass(getattr(maps, name), maps.LinearMap)} - {"LinearMap"}
    assert {"Dense", "Conv2d", "AveragePool", "ChannelScale", "TrainedMap"} <= kinds
    asking = [str(path.relative_to(HOUSE)) for path in SOURCES if asks_for_a_map(path, kinds)]
    assert len(asking) <= 3, f"{asking} ask for the type of a map, which owns its parts: give LinearMap a method"


@pytest.mark.parametrize("line", ["isinstance(x, Dense)", "isinstance(x, (Dense, int))", "type(x) is Dense"])
def test_a_file_that_asks_is_found(tmp_path, line):
    path = tmp_path / "file.py"
    path.write_text(f"from oamip_model.network.maps import Dense\n{line}\n")
    assert asks_for_a_map(path, {"Dense"})
    path.write_text("from oamip_model.network.maps import Dense\nDense(x)\n")
    assert not asks_for_a_map(path, {"Dense"})


def test_nothing_imports_backends_or_benchmarks():
    for source in HOUSE.rglob("*.py"):
        text = source.read_text()
        for node in ast.walk(ast.parse(text)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(
                n.split(".")[0] in ("oamip_backends", "oamip_benchmarks", "oamip_examples") for n in names
            ), source


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("oamip_model", HEAVY | {"numpy", "scipy"}),
        ("oamip_model.errors", HEAVY | {"numpy", "scipy"}),
        ("oamip_model.network.types", HEAVY),
        ("oamip_model.network", HEAVY),
        ("oamip_model.bounds", HEAVY),
        ("oamip_model.data", HEAVY),
        ("oamip_model.formulation", HEAVY),
        ("oamip_model.solving", HEAVY),
        ("oamip_model.solving.protocol", HEAVY),
        ("oamip_model.solving.registry", HEAVY),
        ("oamip_model.scoring.result", HEAVY),
    ],
)
def test_imports_are_light(module, absent):
    code = f"import sys, {module}; print(sorted({absent!r} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_solving_loads_no_torch_and_little_of_scipy():
    # A program is built and solved from plain arrays: workers that solve need no torch, and no statistics.
    code = (
        "import sys, oamip_model.formulation.build, oamip_model.solving.solve, oamip_model.solving.replay, "
        "oamip_model.scoring.joint.whole; "
        "print({'torch', 'scipy.stats'} & set(sys.modules)); "
        "import scipy, pyomo.common.dependencies as known; "
        "print(known.scipy.stats.__name__, sys.modules['scipy'] is scipy, bool(known.scipy_available))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\nscipy.stats True True\n"


def test_what_loads_pyomo_makes_it_quick_first():
    for source in SOURCES:
        top = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top]
        loads = [name.split(".")[0] == "pyomo" for name in names]
        if any(loads):
            before = names[: loads.index(True)]
            assert "oamip_model.formulation.quick_pyomo" in before, f"{source} has to import quick_pyomo before Pyomo"


def test_scores_layer_by_layer_load_no_pyomo():
    # It takes longer to load than a small network takes to score, and only programs of all layers are built in it.
    code = (
        "import sys, oamip_model as om, oamip_model.scoring.layerwise.scores; "
        "import oamip_model.scoring.layerwise.eliminated; "
        "from oamip_model.scoring.layerwise.heads import mixed_heads; om.score, mixed_heads(); "
        "from oamip_model.solving.registry import get_backend; get_backend('highs').version(); "
        "print('pyomo' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_public_names_are_there():
    for name in dir(oamip_model):
        assert getattr(oamip_model, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = oamip_model.nothing
