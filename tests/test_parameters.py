"""Docstrings of public names have a section for parameters that names each of them, in order, and one for results."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import oamip_model as om
from oamip_model import formulation, solving
from oamip_model.solving import protocol

ROOT = Path(__file__).parents[1]
REGISTERED = [getattr(formulation, f"register_{kind}") for kind in ("gate", "loss", "sparsity")]
ROOTS: dict[str, Any] = (
    {name: getattr(om, name) for name in om._HOMES}
    | {f"study.{name}": getattr(om.study, name) for name in om.study._HOMES}
    | {f"protocol.{name}": getattr(protocol, name) for name in protocol.__all__}
    | {thing.__name__: thing for thing in [*REGISTERED, solving.register_backend]}
)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods of a class of ours, inherited ones too."""
    for one in cls.__mro__:
        if one.__module__.startswith("oamip"):
            for name, value in vars(one).items():
                if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield name, value


def documented() -> dict[str, Any]:
    """Every function, class and method that users call, by its name."""
    found: dict[str, Any] = {}
    for name, thing in ROOTS.items():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            found[name] = thing
        if inspect.isclass(thing):
            found |= {f"{name}.{inner}": value for inner, value in members(thing)}
    return found


NAMES = documented()


def parameters(thing: Any) -> list[str]:
    """The parameters that a docstring has to name."""
    if isinstance(thing, property):
        return []
    if inspect.isclass(thing):
        if is_dataclass(thing):
            return [one.name for one in fields(thing) if one.init]
        # Errors take what every error takes, and protocols nothing.
        thing = thing.__init__
        if not inspect.isfunction(thing) or not thing.__module__.startswith("oamip"):
            return []
    every = inspect.signature(thing).parameters.values()
    stars = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    return [stars.get(one.kind, "") + one.name for one in every if one.name != "self"]


def sections(docstring: str) -> dict[str, list[str]]:
    """The lines of each section of a docstring in numpydoc's form, by its heading."""
    lines = inspect.cleandoc(docstring).split("\n")
    starts = [k for k, line in enumerate(lines[1:]) if re.fullmatch(r"-{3,}", line) and len(line) == len(lines[k])]
    return {lines[k]: lines[k + 2 : end] for k, end in pairwise([*starts, len(lines)])}


def named(lines: list[str]) -> list[str]:
    """The names that a section of parameters has."""
    heads = [line for line in lines if line and not line.startswith(" ")]
    return [name for head in heads for name in head.split(" : ")[0].split(", ")]


def faults(thing: Any) -> list[str]:
    """What is missing in a docstring."""
    found, wanted = sections(thing.__doc__ or ""), parameters(thing)
    wrong = []
    if named(found.get("Parameters", [])) != wanted:
        wrong.append(f"names {named(found.get('Parameters', []))}, it has {wanted}")
    returned = inspect.signature(thing).return_annotation if inspect.isfunction(thing) else "None"
    if returned not in ("None", None) and not {"Returns", "Yields"} & set(found):
        wrong.append(f"does not say what it returns, {returned}")
    if re.search(r"^ *Raises [A-Z]\w+Error", thing.__doc__ or "", flags=re.MULTILINE):
        wrong.append("has no section for what it raises")
    return wrong


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_parameter_has_an_entry_of_its_own(name):
    assert faults(NAMES[name]) == []


def test_there_are_many_of_them():
    assert {"score", "prune", "Scores.save", "study.tightness", "protocol.Backend.solve", "register_gate"} <= set(NAMES)
    assert len(NAMES) > 120


MOST = 8
PACKAGES = ("oamip_model", "backends/oamip_backends", "benchmarks/oamip_benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def long_lists(tree: ast.Module) -> list[str]:
    """Public functions and methods with too many parameters. A verb's are the flags of the command line."""
    found: list[str] = []
    queue: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while queue:
        name, node = queue.pop()
        for inner in node.body:
            if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
                queue.append((f"{inner.name}.", inner))
            if not isinstance(inner, ast.FunctionDef) or (inner.name.startswith("_") and inner.name != "__init__"):
                continue
            if re.search(r"\b(command|group)\(", " ".join(map(ast.unparse, inner.decorator_list))):
                continue
            given = inner.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            count = sum(one is not None and one.arg not in ("self", "cls") for one in every)
            found += [f"{name}{inner.name}: {count}"] if count > MOST else []
    return found


def test_no_public_function_has_more_than_eight_parameters():
    found = [f"{path.relative_to(ROOT)}: {name}" for path in FILES for name in long_lists(ast.parse(path.read_text()))]
    assert found == []
    assert len(FILES) > 300


def test_a_long_list_of_parameters_is_seen():
    nine = "a, b, c, d, *e, f, g, h, **i"
    assert long_lists(ast.parse(f"def long({nine}): ...")) == ["long: 9"]
    assert long_lists(ast.parse(f"class A:\n    def long(self, {nine}): ...")) == ["A.long: 9"]
    for right in (f"def _own({nine}): ...", f"@click.command()\ndef verb({nine}): ...", "def short(a, *b, **c): ..."):
        assert long_lists(ast.parse(right)) == []


def example(function: Callable[..., Any], docstring: str) -> Callable[..., Any]:
    function.__doc__ = docstring
    return function


def test_a_fault_is_seen():
    def both(a: int, *, b: int = 0) -> int:
        return a + b

    right = (
        "A sum.\n\nParameters\n----------\na : int\n    One.\nb : int\n    Other.\n\nReturns\n-------\nint\n    Sum.\n"
    )
    assert faults(example(both, right)) == []
    assert faults(example(both, right.replace("b : int", "c : int")))
    assert faults(example(both, right.split("Returns")[0]))
    assert faults(example(both, right + "\nRaises InputError for a text.\n"))


def test_every_public_name_has_a_page_of_the_reference():
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    assert [name for name in om._HOMES if not re.search(rf"\b{name}\b", page)] == []


def test_every_public_name_has_an_example():
    without = [
        name for name in om._HOMES if callable(getattr(om, name)) and ">>>" not in (getattr(om, name).__doc__ or "")
    ]
    assert without == []
