"""A table in plain text, for people to read."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """The rows under their heads, as lines of text in columns.

    Those in ``right`` are aligned there.

    Examples
    --------
    >>> print(text_table(("name", "size"), [("a", "10"), ("b", "5")], right={1}))
    name  size
    ----  ----
    a       10
    b        5
    """
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
    lines = [_line(heads, widths, right), _line(["-" * width for width in widths], widths, right)]
    return "\n".join([*lines, *(_line(row, widths, right) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return "  ".join(cell.rjust(width) if k in right else cell.ljust(width) for k, (cell, width) in pairs).rstrip()
