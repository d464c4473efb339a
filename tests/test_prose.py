"""First lines of docstrings are sentences that fit on a line and use the words of the field.

Sentences of docstrings and of pages are short.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 80
WORDS = 25
"""A sentence has this many words at most, where code and a link count as one."""
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
"""Scripts that are shown as pages: their docstrings and comments."""
SECTIONED = sorted(
    path for house in ("oamip_model/solving", "backends/oamip_backends") for path in (ROOT / house).rglob("*.py")
)
"""Files whose public functions have numpydoc sections, where a protocol or a base class does not describe them."""
SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Attributes", "Examples", "See Also", "References")
PRIVATE = re.compile(r"\b(?:stays?|goes|told|tells|rungs?|harm|what (?:was|is) found)\b", re.IGNORECASE)
"""Words of our own for: is kept, is removed, reported, method, loss, incumbent."""
HOUSES = ("oamip_model", "backends/oamip_backends", "benchmarks/oamip_benchmarks")
FILES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))


def documented(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Node and docstring of a module, its public functions and classes, and their public methods."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        docstring = ast.get_docstring(node)
        if docstring:
            yield node, docstring
        if isinstance(node, ast.Module | ast.ClassDef):
            inside = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
            # What a verb's function says is its help, which is wrapped.
            inside = [
                n for n in inside if not re.search(r"command|group", " ".join(map(ast.unparse, n.decorator_list)))
            ]
            queue += inside


def faults(line: str) -> list[str]:
    """What is wrong with a first line."""
    found = [] if len(line) <= MOST else [f"{len(line)} characters"]
    found += [] if line.endswith(".") else ["no period at its end"]
    found += ["begins with a small letter"] if re.match(r"[a-z]{2,}[ .]", line) else []
    found += ["begins with 'of'"] if line.lower().startswith("of ") else []
    return found + [f"the word {word.group()!r}" for word in PRIVATE.finditer(line)]


def paragraphs(page: str) -> Iterator[str]:
    """The paragraphs and items of a Markdown page, without code, tables, formulas and headings."""
    page = re.sub(r"```.*?```|<!--.*?-->|<a id=[^>]*></a>", "", page, flags=re.DOTALL)
    block: list[str] = []
    for line in [*page.split("\n"), ""]:
        text = line.strip()
        item = re.match(r"(?:[-*]|\d+\.) ", text)
        skipped = not text or text[0] in "#|<!" or (line.startswith("    ") and not block)
        if (skipped or item) and block:
            yield " ".join(block)
            block = []
        if not skipped and not (line.startswith("    ") and not block):
            block.append(text[item.end() :] if item else text)


def long_sentences(text: str) -> list[str]:
    """The sentences of a paragraph that have more than WORDS words."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"`[^`]+`|\[[^\]]*\]", "code", text)
    sentences = re.split(r"(?<=[.!?])[)\"*\]]*\s+", text)
    return [one for one in sentences if sum(bool(re.search(r"\w", word)) for word in one.split()) > WORDS]


def prose(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring, and the descriptions in its sections."""
    section, block = "", ""
    lines = docstring.split("\n")
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line in SECTIONS and re.fullmatch("-+", after):
            section = line
        entry = section in SECTIONS[:5] and not line.startswith(" ")
        entry |= not section and line.startswith("    ")  # code or a formula
        if section in SECTIONS[5:] or entry or not line.strip() or re.match(r"-+$|>>>|\.\.\.|- ", line.strip()):
            yield block
            block = ""
        else:
            block += line + " "
    yield block


def missing_sections(node: ast.AST, docstring: str) -> list[str]:
    """The numpydoc sections that the docstring of a function should have and has not."""
    if not isinstance(node, ast.FunctionDef) or re.search(r"(^|\n\n|\. )See :\w+:", docstring):
        return []
    arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    gives = ast.unparse(node.returns) if node.returns else "None"
    is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    wanted = ["Parameters"] if set(arguments) - {"self", "cls"} else []
    if gives != "None" and not is_property:
        wanted += ["Yields" if re.match("Iterator|Generator", gives) else "Returns"]
    return [f"no section {name}" for name in wanted if f"\n{name}\n---" not in docstring]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_first_lines_are_short_sentences(path):
    wrong = []
    for node, docstring in documented(ast.parse(path.read_text())):
        line = docstring.split("\n")[0]
        wrong += [f"{getattr(node, 'name', 'module')}: {', '.join(found)}: {line}" for found in [faults(line)] if found]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_of_pages_are_short(page):
    blocks = list(paragraphs(page.read_text()))
    wrong = [fault for block in blocks for fault in [*long_sentences(block), *PRIVATE.findall(block)]]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_of_examples_are_short(path):
    script = path.read_text()
    comments = re.findall(r"(?:^# (?!%%).*\n)+", script, flags=re.MULTILINE)
    page = "\n\n".join([ast.get_docstring(ast.parse(script)) or "", *(re.sub("(?m)^# ", "", c) for c in comments)])
    page = re.sub(r"(?m)^.*\n[-=~]{4,}$", "", page.replace("``", "`"))
    wrong = [fault for block in paragraphs(page) for fault in [*long_sentences(block), *PRIVATE.findall(block)]]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sentences_of_docstrings_are_short(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    docstrings = [ast.get_docstring(n) for n in nodes if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)]
    blocks = [block for docstring in docstrings for block in prose(docstring or "")]
    wrong = [fault for block in blocks for fault in [*long_sentences(block), *PRIVATE.findall(block)]]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_help_of_options_uses_the_words_of_the_field(path):
    helps = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.keyword) and n.arg == "help"]
    texts = [part.value for told in helps for part in ast.walk(told) if isinstance(part, ast.Constant)]
    assert not [word for text in texts if isinstance(text, str) for word in PRIVATE.findall(text)]


@pytest.mark.parametrize("path", SECTIONED, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_of_solvers_have_their_sections(path):
    nodes = documented(ast.parse(path.read_text()))
    wrong = [f"{node.name}: {one}" for node, docstring in nodes for one in missing_sections(node, docstring)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_a_long_sentence_and_a_missing_section_are_seen():
    many = " ".join(["word"] * 26)
    page = f"# {many}\n\n{many}.\n\n    {many}\n\n| {many} |\n\n1. `{many}` is [one {many}](link).\n- {many}.\n"
    assert [len(long_sentences(block)) for block in paragraphs(page)] == [1, 0, 1]
    described = f"Short.\n\nReturns\n-------\nint\n    {many}."
    assert [len(long_sentences(block)) for block in prose(described)][-1] == 1
    function = ast.parse("def f(self, x: int) -> int: ...").body[0]
    assert missing_sections(function, "The next.") == ["no section Parameters", "no section Returns"]
    assert missing_sections(function, "The next.\n\nSee :meth:`g`.") == []
