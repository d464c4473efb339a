"""Every citation names a label of the mathematics, and every link of a page leads somewhere."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import oamip_model as om

ROOT = Path(__file__).parents[1]
MATHEMATICS = ROOT / "docs" / "explanation" / "mathematics.md"
FOLDERS = ("oamip_model", "backends", "benchmarks", "tests", "examples", "docs")
MADE = tuple(ROOT / "docs" / name for name in ("build", "tutorials", "reference/generated"))
"""Folders that `make docs` fills."""
CITATION = re.compile(r"mathematics:([a-z]+(?:-[a-z]+)*-)(\d+)(?:\.\.(\d+))?")
LABEL = re.compile(r'<a id="([^"]+)"></a>')
GONE = "FORMULATION" + ".md", "REFIT" + ".md"


def written(path: Path) -> bool:
    """Whether a file is ours, and not made from others."""
    return not any(path.is_relative_to(folder) for folder in MADE)


PAGES = sorted(filter(written, [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))


def sources() -> list[Path]:
    """Every file of ours that is text: code, tests, pages, the files at the top."""
    found = [p for p in ROOT.iterdir() if p.is_file() and not p.name.startswith(".")]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".md", ".toml", ".j2")]
    return sorted(filter(written, found))


def labels(page: Path) -> list[str]:
    """The labels of a page: anchors of its own, and those that headings get."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = (
        re.sub(r"[^\w\- ]", "", line.lower()) for line in re.findall(r"^#+ +(.*?) *$", text, flags=re.MULTILINE)
    )
    return LABEL.findall(text) + [heading.replace(" ", "-") for heading in headings]


def cited(text: str) -> list[str]:
    """The labels that a text cites; ``mathematics:pool-1..3`` cites three."""
    found = []
    for stem, first, last in CITATION.findall(text):
        found += [f"{stem}{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def test_every_label_is_there_once():
    counts = Counter(LABEL.findall(MATHEMATICS.read_text()))
    assert len(counts) > 50
    assert {label for label, times in counts.items() if times > 1} == set()


def test_every_citation_is_a_label():
    known = set(LABEL.findall(MATHEMATICS.read_text()))
    unknown = {
        f"{path.relative_to(ROOT)}: {label}"
        for path in sources()
        for label in cited(path.read_text())
        if label not in known
    }
    assert unknown == set()


def test_nothing_that_looks_like_a_citation_is_overlooked():
    for path in sources():
        if path.name in (Path(__file__).name, "mathematics.md", "CONTRIBUTING.md"):
            continue
        text = path.read_text()
        assert text.count("mathematics:") == len(CITATION.findall(text)), path


def test_the_rows_of_every_gate_are_cited_where_they_are_made():
    wanted = {label for label in LABEL.findall(MATHEMATICS.read_text()) if re.match(r"(gate|pool|part|hull)-", label)}
    room = "".join(path.read_text() for path in sorted((ROOT / "oamip_model").rglob("*.py")))
    stems = {label.rsplit("-", 1)[0] for label in cited(room)}
    assert {label.rsplit("-", 1)[0] for label in wanted} <= stems


def test_pages_that_are_not_in_the_repository_are_cited_nowhere():
    for path in sources():
        for name in GONE:
            assert name not in path.read_text(), f"{path.relative_to(ROOT)} cites {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name}: {target}"
        assert other.is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            assert anchor in labels(other), f"{page.name}: {target}"


def test_pages_of_docs_that_code_names_exist():
    for path in sources():
        for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|png)", path.read_text()):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_public_names_that_pages_use_are_there(page):
    text = page.read_text()
    if page.name == "CHANGELOG.md":  # the last column of its tables says what is there now
        text = "\n".join(line.split(" | ")[-1] for line in text.splitlines())
    for name in re.findall(r"\bom\.([A-Za-z_]\w*)", text):
        assert hasattr(om, name), f"{page.relative_to(ROOT)}: om.{name}"
