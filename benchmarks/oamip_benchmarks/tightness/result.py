"""The rows of a study, the best objective of each program, and files of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oamip_benchmarks.tightness.measure import Row
from oamip_model.errors import InputError
from oamip_model.runs.tables import write_csv, write_parquet


@dataclass(frozen=True)
class Tightness:
    """The rows of a study, in the order of its cells.

    rows: those that are finished; best: the least objective that is known of each program, by (network, gate), from the
    heuristic and from all its rows; planned: how many rows there are when all are finished; found: how many of them
    came from the store; source: of the images; interrupted: by Ctrl-C.
    """

    rows: tuple[Row, ...]
    best: Mapping[tuple[str, str], float]
    planned: int
    found: int
    source: str
    interrupted: bool = False

    def gap(self, row: Row, bound: float | None) -> float | None:
        """The gap of a bound of a row's program, at least 0, or None if unknown.

        It is (best - bound) / max(|best|, 1e-10).
        """
        best = self.best.get((row.network, row.gate))
        if best is None or bound is None:
            return None
        return max((best - bound) / max(abs(best), 1e-10), 0.0)

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each row, with its gaps by the best objective known.

        It has the row's fields, and best, root_gap and cut_gap.
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

        What is not known is an empty field.

        Raises InputError where there are none, or the file cannot be written.
        """
        write_csv(self._records(), path)

    def save_parquet(self, path: str | Path) -> None:
        """Write the records as Parquet, whole or not at all.

        Raises InputError where there are none, pyarrow is missing, or the file cannot be written.
        """
        write_parquet(self._records(), path, _kind)

    def plot(self, path: str | Path) -> None:
        """Draw the gap against the seconds of preprocessing into a picture.

        See :func:`oamip_benchmarks.tightness.figure.draw`.
        """
        self._records()
        from oamip_benchmarks.tightness.figure import draw

        draw(self.rows, self.gap, Path(path))

    def _records(self) -> list[dict[str, Any]]:
        if not self.rows:
            raise InputError("study: no row is finished, there is nothing to write")
        return self.records()


_WORDS = ("network", "gate", "scores", "relaxation", "bounds", "root_status", "status")
_COUNTS = ("images", "off", "on", "unstable", "binaries", "rows", "columns", "nonzeros", "cuts", "nodes")


def _kind(name: str, pa: Any) -> Any:
    if name in _WORDS:
        return pa.string()
    return pa.int64() if name in _COUNTS else pa.float64()
