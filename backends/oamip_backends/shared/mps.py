"""A program as a free-format MPS file.

It is for solvers that are called as a separate program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from oamip_model.solving.protocol import Arrays


def write_mps(arrays: Arrays, path: Path) -> None:
    """Write a program to a file, as a minimisation.

    Its columns are c0, c1, ..., and its rows r0, r1, ...

    A maximisation is written with its costs negated, since readers differ on OBJSENSE. The
    objective's offset is left out, since they differ on its sign. Rows without a finite bound are
    left out. Numbers read back as the same floats. A program without rows gets one that holds for
    every point within the bounds.

    Parameters
    ----------
    arrays : Arrays
        The program.
    path : Path
        The file.
    """
    kept = np.flatnonzero(np.isfinite(arrays.row_lower) | np.isfinite(arrays.row_upper))
    with path.open("w", encoding="ascii") as file:
        file.write("NAME oamip FREE\n")
        file.writelines(_rows(arrays, kept))
        file.writelines(_columns(arrays, kept))
        file.writelines(_right_hand_sides(arrays, kept))
        file.writelines(_bounds(arrays))
        file.write("ENDATA\n")


def _rows(arrays: Arrays, kept: np.ndarray) -> Iterator[str]:
    yield "ROWS\n N obj\n"
    lower, upper = arrays.row_lower[kept], arrays.row_upper[kept]
    kinds = np.where(lower == upper, "E", np.where(np.isfinite(upper), "L", "G"))
    yield from (f" {kind} r{row}\n" for kind, row in zip(kinds.tolist(), kept.tolist(), strict=True))
    if not len(kept):
        yield " N none\n"


def _columns(arrays: Arrays, kept: np.ndarray) -> Iterator[str]:
    by_column = sp.csc_array(arrays.matrix[kept])
    by_column.sum_duplicates()
    starts, values = by_column.indptr.tolist(), by_column.data.tolist()
    names = [f"r{row}" for row in kept.tolist()]
    rows = [names[i] for i in by_column.indices.tolist()]
    costs = (arrays.sense * arrays.cost + 0.0).tolist()
    integral = arrays.integral.tolist()
    yield "COLUMNS\n"
    inside = False
    for column, cost in enumerate(costs):
        if integral[column] != inside:
            inside = integral[column]
            yield f" M{column} 'MARKER' '{'INTORG' if inside else 'INTEND'}'\n"
        yield f" c{column} obj {cost!r}\n"
        for entry in range(starts[column], starts[column + 1]):
            yield f" c{column} {rows[entry]} {values[entry]!r}\n"
    if inside:
        yield f" M{len(costs)} 'MARKER' 'INTEND'\n"


def _right_hand_sides(arrays: Arrays, kept: np.ndarray) -> Iterator[str]:
    lower, upper = arrays.row_lower[kept], arrays.row_upper[kept]
    sides = np.where(np.isfinite(upper), upper, lower).tolist()
    yield "RHS\n"
    yield from (f" RHS r{row} {side!r}\n" for row, side in zip(kept.tolist(), sides, strict=True) if side != 0.0)
    ranged = np.isfinite(lower) & np.isfinite(upper) & (lower != upper)
    if ranged.any():
        yield "RANGES\n"
        widths = (upper - lower)[ranged].tolist()
        yield from (f" RNG r{row} {width!r}\n" for row, width in zip(kept[ranged].tolist(), widths, strict=True))


def _bounds(arrays: Arrays) -> Iterator[str]:
    # All bounds are written, except [0, inf) of a continuous column. Readers differ on the default bounds of an
    # integral column, and on the lower bound of a column for which only a negative upper bound is written.
    yield "BOUNDS\n"
    triples = zip(arrays.lower.tolist(), arrays.upper.tolist(), arrays.integral.tolist(), strict=True)
    for column, (lower, upper, integral) in enumerate(triples):
        if lower == upper:
            yield f" FX BND c{column} {lower!r}\n"
        elif lower == -np.inf and upper == np.inf:
            yield f" FR BND c{column}\n"
        else:
            if lower == -np.inf:
                yield f" MI BND c{column}\n"
            elif lower != 0.0 or upper <= 0.0 or integral:
                yield f" LO BND c{column} {lower!r}\n"
            if upper != np.inf:
                yield f" UP BND c{column} {upper!r}\n"
            elif integral:
                yield f" PL BND c{column}\n"
