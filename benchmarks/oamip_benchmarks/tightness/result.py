"""The rows of a study, the best objective of each program, and files of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oamip_benchmarks.tightness.measure import Row
from oamip_model.errors import InputError
from oamip_model.network.table import text_table, without
from oamip_model.runs.tables import write_csv, write_parquet
from oamip_model.scoring.show import as_frame

KEYS = ("network", "gate", "relaxation", "bounds")
SOLVED = ("solve s", "nodes", "gap", "status")
"""Columns of a table that are about the integer program."""
LESS = (
    "open",
    "status",
    "big-M",
    "root s",
    "build s",
    "bounds s",
    "binaries",
    "nodes",
    "non-zeros",
    "rows",
    "on",
    "off",
)
"""Columns that a narrow table is without, the last ones first."""
HEADS = (
    *KEYS, "off", "on", "open", "binaries", "rows", "non-zeros", "big-M", "root gap", "after cuts", "bounds s",
    "build s", "root s", *SOLVED,
)  # fmt: skip


@dataclass(frozen=True)
class Tightness:
    """The rows of a study, in the order of its cells.

    ``print(found)`` is a table of them.

    Parameters
    ----------
    rows : tuple of Row
        The rows that are finished.
    best : mapping of tuple to float
        The least objective that is known of each program, by (network, gate), from the heuristic and
        from all its rows.
    planned : int
        How many rows there are when all are finished.
    found : int
        How many of the rows came from the store.
    source : str
        Where the images came from.
    interrupted : bool, default False
        Whether Ctrl-C ended the study.
    """

    rows: tuple[Row, ...]
    best: Mapping[tuple[str, str], float]
    planned: int
    found: int
    source: str
    interrupted: bool = False

    def __str__(self) -> str:
        heads, rows = without(*self.table(), self.less, 80)
        left = sum(head in KEYS for head in heads)
        table = text_table(heads, rows, range(left, len(heads)), rule=False, width=80, keys=left)
        return "\n".join([table, *self.facts()])

    @property
    def less(self) -> tuple[str, ...]:
        """Heads that a narrow table leaves out, the last of them first.

        The network and the gate are left out first where all rows have the same, for the facts name them.
        """
        same = [key for key in ("gate", "network") if len({getattr(row, key) for row in self.rows}) == 1]
        return (*LESS, *same) if len(self.rows) > 1 else LESS

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and cells of a table for people, one line for each row.

        Returns
        -------
        heads : list of str
            The heads, of which those in ``less`` matter least.
        rows : list of list of str
            The cells. Those of the integer program are there where one was solved.
        """
        cells = [_cells(self, row) for row in self.rows]
        solved = any(row.status is not None for row in self.rows)
        kept = [head for head in HEADS if solved or head not in SOLVED]
        return kept, [[line[head] for head in kept] for line in cells]

    def facts(self) -> list[str]:
        """Lines below the table: the objectives that gaps are to, and the images.

        Returns
        -------
        list of str
            One line for each program, and one for the images.
        """
        best = [f"{network}, {gate}: best objective known {value:.6g}" for (network, gate), value in self.best.items()]
        stopped = [f"interrupted: {len(self.rows)} of {self.planned} rows"] if self.interrupted else []
        return [*best, f"images: {self.source}", *stopped]

    def to_frame(self) -> Any:
        """A pandas DataFrame of the records, a row for each cell.

        Returns
        -------
        pandas.DataFrame
            The columns are those of :meth:`records`.

        Raises
        ------
        InputError
            Where there are no records, or pandas is not installed.
        """
        return as_frame(self._records())

    def gap(self, row: Row, bound: float | None) -> float | None:
        """The gap of a bound of a row's program, at least 0, or None if unknown.

        Parameters
        ----------
        row : Row
            A row of this study.
        bound : float or None
            A dual bound of its program.

        Returns
        -------
        float or None
            (best - bound) / max(abs(best), 1e-10), at least 0.
        """
        best = self.best.get((row.network, row.gate))
        if best is None or bound is None:
            return None
        return max((best - bound) / max(abs(best), 1e-10), 0.0)

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each row, with its gaps by the best objective known.

        Returns
        -------
        list of dict
            The row's fields, and best, root_gap, cut_gap and preprocessing_seconds.
        """
        return [
            asdict(row) | {
                "best": self.best.get((row.network, row.gate)), "root_gap": self.gap(row, row.root_bound),
                "cut_gap": self.gap(row, row.cut_bound), "preprocessing_seconds": row.preprocessing,
            }
            for row in self.rows
        ]  # fmt: skip

    def save_csv(self, path: str | Path) -> None:
        """Write the records as CSV, whole or not at all.

        A value that is not known is an empty field.

        Parameters
        ----------
        path : str or Path
            The file.

        Raises
        ------
        InputError
            Where there are no records, or the file cannot be written.
        """
        write_csv(self._records(), path)

    def save_parquet(self, path: str | Path) -> None:
        """Write the records as Parquet, whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file.

        Raises
        ------
        InputError
            Where there are no records, pyarrow is missing, or the file cannot be written.
        """
        write_parquet(self._records(), path, _kind)

    def plot(self, path: str | Path) -> None:
        """Draw the gap against the seconds of preprocessing into a picture.

        Parameters
        ----------
        path : str or Path
            The picture, whose suffix says its format.

        Raises
        ------
        InputError
            Where there are no rows, or the file cannot be written.
        """
        self._records()
        from oamip_benchmarks.tightness.figure import draw

        draw(self.rows, self.gap, Path(path))

    def _records(self) -> list[dict[str, Any]]:
        if not self.rows:
            raise InputError("study: no row is finished, there is nothing to write")
        return self.records()


def _cells(found: Tightness, row: Row) -> dict[str, str]:
    """The cells of a row by head."""
    counts = {"off": row.off, "on": row.on, "open": row.unstable, "binaries": row.binaries, "rows": row.rows,
              "non-zeros": row.nonzeros, "nodes": row.nodes}  # fmt: skip
    shares = {"root gap": found.gap(row, row.root_bound), "after cuts": found.gap(row, row.cut_bound), "gap": row.gap}
    seconds = {"bounds s": row.bounds_seconds, "build s": row.build_seconds, "root s": row.root_seconds}
    numbers = {"big-M": row.big_m, "solve s": row.solve_seconds}
    return (
        {key: getattr(row, key) for key in KEYS} | {"status": row.status or "-"}
        | {key: "-" if value is None else str(value) for key, value in counts.items()}
        | {key: "-" if value is None else f"{100 * value:.2f} %" for key, value in shares.items()}
        | {key: f"{value:.2f}" for key, value in seconds.items()}
        | {key: "-" if value is None else f"{value:.3g}" for key, value in numbers.items()}
    )  # fmt: skip


_WORDS = ("network", "gate", "scores", "relaxation", "bounds", "root_status", "status")
_COUNTS = ("images", "off", "on", "unstable", "binaries", "rows", "columns", "nonzeros", "cuts", "nodes")


def _kind(name: str, pa: Any) -> Any:
    if name in _WORDS:
        return pa.string()
    return pa.int64() if name in _COUNTS else pa.float64()
