"""First lines of docstrings are sentences that fit on a line and use the words of the field."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 80
PRIVATE = re.compile(r"\b(stays?|goes|told|tells|rungs?|harm|what (was|is) found)\b", re.IGNORECASE)
"""Words of our own for: is kept, is removed, reported, method, loss, incumbent."""
HOUSES = ("oamip_model", "backends/oamip_backends", "benchmarks/oamip_benchmarks")
FILES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))


def documented(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and docstring of a module, its public functions and classes, and their public methods."""
    queue: list[tuple[str, ast.AST]] = [("module", tree)]
    while queue:
        name, node = queue.pop()
        docstring = ast.get_docstring(node)
        if docstring:
            yield name, docstring
        if isinstance(node, ast.Module | ast.ClassDef):
            inside = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
            # What a verb's function says is its help, which is wrapped.
            inside = [
                n for n in inside if not re.search(r"command|group", " ".join(map(ast.unparse, n.decorator_list)))
            ]
            queue += [(n.name, n) for n in inside]


def faults(line: str) -> list[str]:
    """What is wrong with a first line."""
    found = [] if len(line) <= MOST else [f"{len(line)} characters"]
    found += [] if line.endswith(".") else ["no period at its end"]
    found += ["begins with a small letter"] if re.match(r"[a-z]{2,}[ .]", line) else []
    found += ["begins with 'of'"] if line.lower().startswith("of ") else []
    return found + [f"the word {word.group()!r}" for word in PRIVATE.finditer(line)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_first_lines_are_short_sentences(path):
    wrong = []
    for name, docstring in documented(ast.parse(path.read_text())):
        line = docstring.split("\n")[0]
        wrong += [f"{name}: {', '.join(found)}: {line}" for found in [faults(line)] if found]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("A unit that stays.", "the word 'stays'"),
        ("The bounds of a layer", "no period at its end"),
        ("of the weights, as trained.", "begins with 'of'"),
        ("x" * 81 + ".", "82 characters"),
        ("the bounds.", "begins with a small letter"),
    ],
)
def test_a_fault_is_seen(line, fault):
    assert any(fault in found for found in faults(line))
    assert faults("The lower bounds of a layer's pre-activations, for each image.") == []
