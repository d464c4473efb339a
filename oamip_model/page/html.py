"""A report as one HTML file: sections of text, tables and pictures.

Style and pictures are inside it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from oamip_model.errors import InputError
from oamip_model.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone: TypeAlias = Literal["", "alert", "faint", "good"]
"""How a text or a cell looks: plain, red, grey or green."""


@dataclass(frozen=True)
class Cell:
    """A table's cell that is not plain text.

    It is toned, has a longer text where the pointer rests, or leads to a file beside the page.
    """

    text: str
    tone: Tone = ""
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class _Part:
    kind: str
    data: dict[str, Any]


class Page:
    """A page that is filled from top to bottom, and then saved.

    Whatever is added is escaped, so that names and messages of others cannot become markup. The page loads no other
    file. Its scripts, of tables that can be sorted and of what :meth:`live` adds, are named by their hashes: a browser
    runs no other.

    Examples
    --------
    >>> page = Page("Run 7", "two solvers")
    >>> page.section("Times")
    >>> page.table(["solver", "seconds"], [["highs", "1.5"], ["<cbc>", Cell("none", "alert")]])
    >>> "&lt;cbc&gt;" in page.html()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title, self._subtitle = title, subtitle
        self._parts: list[_Part] = []
        self._sections: list[str] = []

    def section(self, title: str) -> None:
        """Start a section, which the list of contents names."""
        self._sections.append(title)
        self._add("section", title=title, number=len(self._sections))

    def text(self, text: str, tone: Tone = "") -> None:
        """Add a paragraph."""
        self._add("text", text=text, tone=tone)

    def points(self, lines: Sequence[str], tone: Tone = "") -> None:
        """Add a list, one point a line."""
        self._add("points", lines=list(lines), tone=tone)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Add pairs of a name and its value."""
        self._add("facts", facts=list(facts))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str | Cell]],
        *,
        left: int = 1,
        caption: str = "",
        folded: bool = False,
        sortable: bool = False,
        choose: Sequence[str] = (),
        name: str = "",
    ) -> None:
        """Add a table whose first ``left`` columns are flush left.

        The others hold numbers, and are flush right.

        Parameters
        ----------
        columns : sequence of str
            The heads.
        rows : sequence of sequence
            The rows.
        left : int, default 1
            Number of columns that are flush left.
        caption : str, default ""
            The caption.
        folded : bool, default False
            Show the caption only, until the reader opens it.
        sortable : bool, default False
            Sort by a column at a click on its head, and choose rows by words in a box above.
            Without scripts the table is as it is.
        choose : sequence of str, optional
            Columns of a sortable table whose values are boxes to tick, which choose rows too.
        name : str, default ""
            The table's id.

        Raises
        ------
        ValueError
            For a row of another length, or a name in ``choose`` that is no column.
        """
        if not set(choose) <= set(columns):
            raise ValueError(f"choose: got {', '.join(choose)}, accepted are {', '.join(columns)}")
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        for row in cells:
            if len(row) != len(columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(columns)} columns")
        self._add(
            "table", columns=list(columns), rows=cells, left=left, caption=caption, folded=folded, sortable=sortable,
            choose=[list(columns).index(column) for column in choose], name=name,
        )  # fmt: skip

    def live(self, name: str, script: str, data: Any) -> None:
        """Add a place that a script of its own fills, from data in the page.

        The place has the id ``name``. The data are JSON text in an element with the id ``name``-data. Without scripts
        the place is empty.

        Raises ValueError for a script that would end its own element.
        """
        if "</script" in script.lower():
            raise ValueError("a script in a page cannot hold </script")
        self._add("live", name=name, script=script, data=_json(data))

    def figures(self, *figures: tuple[Figure, str]) -> None:
        """Add pictures, side by side where there is room.

        They are pairs of a matplotlib figure and its caption, which also reaches readers who cannot see it.
        """
        pictures = [(picture(figure), caption, int(96 * figure.get_size_inches()[0])) for figure, caption in figures]
        self._add("figures", pictures=pictures)

    def html(self) -> str:
        """The page's text."""
        import jinja2
        from markupsafe import Markup

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("oamip_model.page", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        template = environment.get_template("page.html.j2")
        return template.render(
            title=self._title, subtitle=self._subtitle, parts=self._parts, sections=self._sections,
            scripts=[(Markup(script), _digest(script)) for script in self._scripts()], Markup=Markup,
        ).strip("\n") + "\n"  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write the page to ``path``, whole or not at all.

        Raises InputError where that cannot be written.
        """
        text = self.html()
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        return Path(path)

    def _scripts(self) -> list[str]:
        """The scripts that the parts need, each once, that of tables last, since the others listen to it."""
        found = [part.data["script"] for part in self._parts if part.kind == "live"]
        if any(part.data.get("sortable") for part in self._parts):
            found.append((resources.files("oamip_model.page") / "tables.js").read_text(encoding="utf-8"))
        return list(dict.fromkeys(found))

    def _add(self, kind: str, **data: Any) -> None:
        self._parts.append(_Part(kind, data))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _json(data: Any) -> str:
    """JSON text that cannot end the element that it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def picture(figure: Figure) -> str:
    """A matplotlib figure as the address of an SVG picture, with its data in it.

    The same figure gives the same text. A picture by its own address cannot clash with the names inside another one.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "oamip", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def check_matplotlib(what: str = "report: its pictures need") -> None:
    """Raise InputError where matplotlib is missing.

    The line says ``what`` needs it and what to install.
    """
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise InputError(f"{what} matplotlib: pip install 'oamip_model[plot]'") from None
