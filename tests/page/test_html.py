"""A page holds all that it shows, escapes what it is given, and is the same text each time."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import told_by

from oamip_model.errors import InputError
from oamip_model.page import Cell, Page

VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """The elements of a page: that each is closed, the texts of its cells, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def figure(seed: int):
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(3, 2))
    axes = drawn.subplots()
    axes.plot(np.random.default_rng(seed).normal(size=5))
    axes.imshow(np.eye(3))
    return drawn


def filled() -> Page:
    page = Page("A <title>", "& subtitle")
    page.section("One & two")
    page.text("a < b", "alert")
    page.points(["first", "<script>alert(1)</script>"])
    page.facts([("cpu", "a <b> c")])
    page.table(["name", "value"], [["<i>x</i>", "1"], ["y", Cell("2", "alert", 'a "note"')]], caption="c")
    page.table(["name", "value"], [["z", "3"]], folded=True, caption="more")
    page.section("Pictures")
    return page


def test_page_is_well_formed_and_escaped():
    text = filled().html()
    outline = Outline(text)
    assert outline.open == []
    assert outline.cells == ["<i>x</i>", "1", "y", "2", "z", "3"]
    assert "<script" not in text
    assert outline.addresses == ["data:,", "#part-1", "#part-2"]


def test_pictures_are_in_the_page_and_repeat():
    pytest.importorskip("matplotlib")
    texts = []
    for _ in range(2):
        page = filled()
        page.figures((figure(0), "left <one>"), (figure(1), "right"))
        texts.append(page.html())
    assert texts[0] == texts[1]
    pictures = [a for a in Outline(texts[0]).addresses if a.startswith("data:image")]
    assert len(pictures) == 2
    assert pictures[0] != pictures[1]
    for address in pictures:
        svg = base64.b64decode(address.partition(",")[2]).decode()
        assert "<svg" in svg
        # Nothing in a picture is fetched: references are to its own parts, or carry their data.
        assert all(a.startswith(("#", "data:")) for a in re.findall(r'xlink:href="([^"]*)"', svg))


def test_rows_must_fit():
    with pytest.raises(ValueError, match="2 cells in a table of 1"):
        Page("t").table(["a"], [["1", "2"]])


def test_save_is_whole_or_not_at_all(tmp_path):
    path = filled().save(tmp_path / "page.html")
    assert path.read_text() == filled().html()
    with pytest.raises(InputError, match="no folder"):
        filled().save(tmp_path / "missing" / "page.html")


def test_the_script_of_sortable_tables_is_there_once_and_named_by_its_hash():
    page = filled()
    for _ in range(2):
        page.table(["a"], [["</script>"]], sortable=True)
    text = page.html()
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert text.count('<table class="sortable">') == 2
    assert "&lt;/script&gt;" in text


CLICKS = """
  told.seen = [];
  const table = document.querySelector("table.sortable"), box = document.querySelector("input[type=search]");
  const look = () =>
    told.seen.push([...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent).join(""));
  const head = table.tHead.rows[0].cells[1].firstChild, told_numbers = [];
  document.addEventListener("chosen", (event) => told_numbers.push(event.detail));
  head.click(); look(); head.click(); look();
  box.value = "LATE 3"; box.dispatchEvent(new Event("input", {bubbles: true})); look();
  box.value = ""; document.querySelector("input[value=small]").click(); look();
  told.numbers = told_numbers; told.count = document.querySelector("[role=status]").textContent;
  told.link = document.querySelector("td a").getAttribute("href");
  told.live = document.getElementById("place").textContent;
"""


def test_a_browser_sorts_and_chooses_rows(tmp_path):
    page = Page("t")
    rows = [["b", "10", "small"], ["a", "9", "large"], ["c", "late, 3 %", "small"], ["d", "1,000", "large"],
            [Cell("e", link="logs/e.log"), "late, 4 %", "small"]]  # fmt: skip
    page.table(["name", "seconds", "size"], rows, sortable=True, choose=["size"])
    script = 'place.textContent = JSON.parse(document.getElementById("place-data").textContent).text;'
    page.live("place", script, {"text": "</script><b>"})
    told, log = told_by(page.html(), CLICKS, tmp_path)
    assert told["seen"] == ["abdce", "dbaec", "c", "da"]
    assert told["numbers"] == [[2], [1, 3]]
    assert told["count"] == " 2 of 5 rows"
    assert told["link"] == "logs/e.log"
    assert told["live"] == "</script><b>"
    assert "CONSOLE" not in log


def test_what_cannot_be_in_a_page_is_refused():
    with pytest.raises(ValueError, match="</script"):
        Page("t").live("a", "'</SCRIPT>'", {})
    with pytest.raises(ValueError, match="accepted are one"):
        Page("t").table(["one"], [["1"]], sortable=True, choose=["two"])
