"""Compares two runs of the same problems by the ratio of their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oamip_benchmarks.bench.reporting.ranking import FEWEST
from oamip_benchmarks.bench.reporting.rows import ANSWERS, Row, Solves, has_run, is_solved, solve_seconds, times_of
from oamip_benchmarks.bench.reporting.statistics import Ratio, counted, paired_ratio
from oamip_model.errors import InputError

SHIFTS = (10.0, 1.0)
"""Shifts of the geometric means, in seconds."""
Pair = tuple[Row, Row]


@dataclass(frozen=True)
class Comparison:
    """One variant before and after.

    Parameters
    ----------
    before, after : str
        Its name in either run.
    ratios : dict
        Ratios of the shifted geometric means, after over before, by shift.
    pairs : tuple of Pair
        Rows of the same instance and seed.
    unpaired : tuple of str
        Labels of rows that only one of the runs has, without those that a licence forbade.
    """

    before: str
    after: str
    ratios: dict[float, Ratio]
    pairs: tuple[Pair, ...]
    unpaired: tuple[str, ...]

    @property
    def censored(self) -> list[Pair]:
        """Pairs of which at least one is not solved, and counts as its time limit."""
        return [pair for pair in self.pairs if not all(map(is_solved, pair))]

    @property
    def instances(self) -> int:
        """Number of different instances, which is what the bootstrap draws from."""
        return len({row["instance"] for row, _ in self.pairs})

    def verdict(self, shift: float = SHIFTS[1]) -> str:
        """What the interval allows to say."""
        ratio = self.ratios[shift]
        if self.instances < FEWEST:
            return f"fewer than {FEWEST} instances: nothing is shown"
        if ratio.high < 1:
            return "quicker"
        return "slower" if ratio.low > 1 else "no difference shown"


def censoring(pair: Pair) -> str:
    """Which of a pair is not solved, and what that makes of its ratio."""
    solved = list(map(is_solved, pair))
    # An answer that came after the limit, or that failed its check, solves nothing.
    before, after = ("late or wrong" if row["status"] in ANSWERS else row["status"] for row in pair)
    if solved[0]:
        return f"after {after}: the true ratio is higher"
    return f"before {before}: the true ratio is lower" if solved[1] else f"before {before}, after {after}: no ratio"


def compare_runs(
    before: Sequence[Row], after: Sequence[Row], *, draws: int = 10_000, seed: int = 0
) -> list[Comparison]:
    """A comparison for each variant that both runs have.

    If both runs have one variant each, these two are compared whatever their names. A solve that is
    not solved counts as its time limit.

    Parameters
    ----------
    before, after : sequence of Row
        The rows of the two runs.
    draws : int, default 10000
        Draws of instances for the bootstrap intervals of 95 %.
    seed : int, default 0
        Seed of these draws.

    Returns
    -------
    list of Comparison
        One for each variant.

    Raises
    ------
    InputError
        Where there are no common variants or problems, or a pair had two time limits.
    """
    sides = Solves(tuple(before)), Solves(tuple(after))
    if all(len(side.variants) == 1 for side in sides):
        names = [(sides[0].variants[0], sides[1].variants[0])]
    else:
        names = [(name, name) for name in sides[0].variants if name in sides[1].variants]
    if not names:
        raise InputError(
            f"compare: no variant is in both runs ({', '.join(sides[0].variants)}; {', '.join(sides[1].variants)})"
        )
    return [_compare(sides, pair, draws, seed) for pair in names]


def _compare(sides: tuple[Solves, Solves], names: tuple[str, str], draws: int, seed: int) -> Comparison:
    cells = [
        {key[1:]: row for key, row in side.cells.items() if key[0] == name and has_run(row)}
        for side, name in zip(sides, names, strict=True)
    ]
    common = sorted(cells[0].keys() & cells[1].keys())
    if not common:
        raise InputError(f"compare: no instance and seed is in both runs of {' and '.join(dict.fromkeys(names))}")
    pairs = tuple((cells[0][key], cells[1][key]) for key in common)
    for first, second in pairs:
        if first["time_limit"] != second["time_limit"]:
            raise InputError(
                f"compare: {first['instance']} had {first['time_limit']:g} s before and {second['time_limit']:g} s "
                "after, and a solve that is not solved counts as its limit"
            )
    times = [counted(*times_of([pair[side] for pair in pairs])) for side in (0, 1)]
    group = np.array([key[0] for key in common])
    ratios = {shift: paired_ratio(times[0], times[1], group, shift, draws=draws, seed=seed) for shift in SHIFTS}
    alone = [
        f"{instance}, seed {number} ({which} only)"
        for which, mine, other in (("before", cells[0], cells[1]), ("after", cells[1], cells[0]))
        for instance, number in sorted(mine.keys() - other.keys())
    ]
    return Comparison(*_labels(names, pairs), ratios, pairs, tuple(alone))


def _labels(names: tuple[str, str], pairs: Sequence[Pair]) -> tuple[str, str]:
    """The variants' names, with the versions of their solver where only these differ."""
    versions = [", ".join(sorted({str(pair[side].get("version")) for pair in pairs})) for side in (0, 1)]
    if names[0] != names[1] or versions[0] == versions[1]:
        return names
    solver, _, rest = names[0].partition(" / ")
    return (f"{solver} {versions[0]} / {rest}", f"{solver} {versions[1]} / {rest}")


def extremes(comparison: Comparison, count: int = 5) -> list[tuple[float, Pair]]:
    """The pairs solved on both sides whose seconds changed most, quickest first.

    Parameters
    ----------
    comparison : Comparison
        One variant before and after.
    count : int, default 5
        How many pairs are taken from either end.

    Returns
    -------
    list of (float, Pair)
        The ratio of the seconds, after over before, and the pair.
    """
    solved = [pair for pair in comparison.pairs if all(map(is_solved, pair))]
    rated = sorted(
        ((solve_seconds(b) / max(solve_seconds(a), 1e-9), (a, b)) for a, b in solved), key=lambda entry: entry[0]
    )
    return rated if len(rated) <= 2 * count else [*rated[:count], *rated[-count:]]
