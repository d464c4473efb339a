"""A table in plain text, for people to read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_GAP = 2
"""Blanks between columns."""
_SHORTEST = 16
"""A text is not shortened below this many characters."""
Rows = Sequence[Sequence[str]]


def text_table(
    heads: Sequence[str], rows: Rows, right: Collection[int] = (), *, rule: bool = True, width: int | None = None,
    keys: int = 1,
) -> str:  # fmt: skip
    """The rows under their heads, as lines of text in columns.

    Parameters
    ----------
    heads : sequence of str
        Heads of the columns.
    rows : sequence of sequence of str
        Cells, one for each head.
    right : collection of int
        Columns that are aligned at the right.
    rule : bool
        Whether dashes stand below the heads.
    width : int, optional
        The most characters of a line. Texts of other columns than those at the right are shortened for it. Columns
        that still do not fit follow below, with the first ones again.
    keys : int
        How many columns at the left say what a row is.

    Returns
    -------
    str
        The table.

    Examples
    --------
    >>> print(text_table(("name", "size"), [("a", "10"), ("b", "5")], right={1}))
    name  size
    ----  ----
    a       10
    b        5
    >>> print(text_table(("name", "size", "seconds"), [("a", "10", "2.5")], right={1, 2}, rule=False, width=14))
    name  size
    a       10
    <BLANKLINE>
    name  seconds
    a         2.5
    """
    texts = [k for k in range(len(heads)) if k not in right]
    if width is not None:
        rows = _shortened(heads, rows, texts, width)
    blocks = _blocks(_widths(heads, rows), width, keys)
    return "\n\n".join("\n".join(_lines(heads, rows, block, right, rule)) for block in blocks)


def without(heads: Sequence[str], rows: Rows, less: Sequence[str], width: int) -> tuple[list[str], list[list[str]]]:
    """Heads and rows without some columns, so that they fit a width.

    Those of ``less`` are left out, the last of them first, as many as is needed.
    """
    gone: set[str] = set()
    for name in (*reversed(less), ""):
        kept = [k for k, head in enumerate(heads) if head not in gone]
        widths = _widths([heads[k] for k in kept], [[row[k] for k in kept] for row in rows])
        if _total(widths) <= width or not name:
            break
        gone.add(name)
    return [heads[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _widths(heads: Sequence[str], rows: Rows) -> list[int]:
    return [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _shortened(heads: Sequence[str], rows: Rows, texts: Sequence[int], width: int) -> list[list[str]]:
    """The rows with the longest texts cut, as far as that helps."""
    widths = _widths(heads, rows)
    while texts and _total(widths) > width:
        widest = max(texts, key=widths.__getitem__)
        least = max(_SHORTEST, len(heads[widest]))
        if widths[widest] <= least:
            break
        others = max((widths[k] for k in texts if k != widest), default=0)
        widths[widest] = max(least, widths[widest] - (_total(widths) - width), min(others, widths[widest] - 1))
    return [[cell if len(cell) <= most else f"{cell[: most - 1]}…" for cell, most in zip(row, widths, strict=True)]
            for row in rows]  # fmt: skip


def _blocks(widths: Sequence[int], width: int | None, keys: int) -> list[list[int]]:
    """The columns of each block; the first ``keys`` are in every one."""
    first = list(range(min(keys, len(widths))))
    blocks = [first[:]]
    for k in range(len(first), len(widths)):
        wide = _total([widths[one] for one in (*blocks[-1], k)])
        if width is not None and wide > width and len(blocks[-1]) > len(first):
            blocks.append(first[:])
        blocks[-1].append(k)
    return blocks


def _lines(heads: Sequence[str], rows: Rows, block: Sequence[int], right: Collection[int], rule: bool) -> list[str]:
    widths = _widths(heads, rows)
    dashes = [["-" * wide for wide in widths]] if rule else []
    return [
        (" " * _GAP).join(line[k].rjust(widths[k]) if k in right else line[k].ljust(widths[k]) for k in block).rstrip()
        for line in (heads, *dashes, *rows)
    ]
