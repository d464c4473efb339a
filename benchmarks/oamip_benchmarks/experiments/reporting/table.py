"""A study's table: means and deviations over seeds, on the terminal and as CSV."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oamip_benchmarks.experiments.cells import Plain
from oamip_model.runs.tables import write_csv

SHARES = ("accuracy", "class_accuracy", "units", "parameters", "agreement", "solved", "same")
"""Values that are shares, shown in per cent."""
HEADINGS = {
    "accuracy": "accuracy, %", "class_accuracy": "accuracy on the class, %", "agreement": "agreement, %",
    "units": "units gone, %", "parameters": "parameters gone, %", "difference": "score difference",
    "seconds": "seconds to score", "seconds_training": "seconds to train", "seconds_tuning": "seconds to tune",
    "seconds_refit": "seconds to refit", "seconds_mip": "seconds to solve", "seconds_build": "seconds to build",
    "times": "times shorter", "solved": "solved, %", "distance": "largest difference", "same": "same class proved, %",
}  # fmt: skip
_DIGITS = {"difference": 4, "seconds_mip": 3, "seconds_build": 2, "distance": 3}
"""Digits of values that are no shares, where they are not one."""


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Parameters
    ----------
    tags : dict
        Its tags.
    values : mapping
        The mean of each value over seeds, their deviation, and how many they are. The deviation is that
        of a sample (of n - 1), None for a single seed.
    """

    tags: Plain
    values: Mapping[str, tuple[float, float | None, int]]

    def mean(self, name: str) -> float:
        """The mean of a value, NaN where no cell has it."""
        return self.values[name][0] if name in self.values else math.nan

    def deviation(self, name: str) -> float:
        """The deviation of a value, 0 where it is not known."""
        return (self.values[name][1] or 0.0) if name in self.values else 0.0

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % interval of a value's mean over seeds, None for a single seed."""
        if name not in self.values:
            return None
        mean, deviation, count = self.values[name]
        half = None if deviation is None else _half(deviation, count)
        return None if half is None else (mean - half, mean + half)

    def plain(self) -> Plain:
        """The line as JSON and CSV hold it."""
        found = dict(self.tags)
        for name, (mean, deviation, count) in self.values.items():
            found |= {name: mean, f"{name}_deviation": deviation, f"{name}_seeds": count}
        return found


def half_width(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of a mean, None for a single value.

    It is by Student's t.

    Examples
    --------
    >>> round(half_width([1.0, 2.0, 3.0]), 3), half_width([1.0])
    (2.484, None)
    """
    return _half(statistics.stdev(values), len(values)) if len(values) > 1 else None


def _half(deviation: float, count: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)


def summarise(found: Sequence[tuple[Plain, Plain]], rows: Sequence[str], values: Sequence[str]) -> list[Line]:
    """One line for each combination of the tags in ``rows``, in the cells' order.

    Parameters
    ----------
    found : sequence of (dict, dict)
        Tags and result of every cell.
    rows : sequence of str
        The tags that tell lines apart.
    values : sequence of str
        The values that a line has.
    """
    groups: dict[tuple[object, ...], list[Plain]] = {}
    for named, result in found:
        groups.setdefault(tuple(named.get(name) for name in rows), []).append(result)
    lines = []
    for tags, results in groups.items():
        means = {}
        for name in values:
            numbers = [float(result[name]) for result in results if result.get(name) is not None]
            if numbers:
                deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
                means[name] = (statistics.fmean(numbers), deviation, len(numbers))
        lines.append(Line(dict(zip(rows, tags, strict=True)), means))
    return lines


def used(rows: Sequence[str], lines: Sequence[Line]) -> list[str]:
    """Those of the tags of which any line has one."""
    return [name for name in rows if any(line.tags[name] is not None for line in lines)]


def shared(rows: Sequence[str], lines: Sequence[Line]) -> list[str]:
    """Those of the tags that all of several lines have the same of."""
    return [name for name in rows if len(lines) > 1 and len({line.tags[name] for line in lines}) == 1]


def headings(rows: Sequence[str], values: Sequence[str]) -> list[str]:
    """The heads of the table's columns."""
    return [*(name.replace("_", " ") for name in rows), *(HEADINGS.get(name, name) for name in values)]


def text_cells(line: Line, rows: Sequence[str], values: Sequence[str]) -> list[str]:
    """The cells of a line as text: mean and deviation, shares in per cent."""
    return [*(tag_text(name, line.tags[name]) for name in rows), *(value_text(line, name) for name in values)]


def tag_text(name: str, value: object) -> str:
    """A tag as text.

    Examples
    --------
    >>> tag_text("share", 0.5), tag_text("threshold", None), tag_text("images", "all")
    ('50 %', '-', 'all')
    """
    if value is None:
        return "-"
    return f"{100 * float(str(value)):g} %" if name in ("share", "kept") else str(value)


def value_text(line: Line, name: str) -> str:
    """A value as text, "-" where no cell has it."""
    if name not in line.values:
        return "-"
    mean, deviation, _ = line.values[name]
    factor, digits = (100.0, 2) if name in SHARES else (1.0, _DIGITS.get(name, 1))
    spread = "" if deviation is None else f" ± {factor * deviation:.{digits}f}"
    return f"{factor * mean:.{digits}f}{spread}"


def write_table(lines: Sequence[Line], path: Path) -> None:
    """Write the lines as CSV, numbers in full.

    Raises
    ------
    InputError
        Where that cannot be.
    """
    write_csv([line.plain() for line in lines], path)


def write_cells(found: Sequence[tuple[Plain, Plain]], path: Path) -> None:
    """Write one CSV line for each cell, from its tags and single-valued results."""
    write_csv(
        [
            tags | {name: value for name, value in result.items() if not isinstance(value, list | dict)}
            for tags, result in found
        ],
        path,
    )
