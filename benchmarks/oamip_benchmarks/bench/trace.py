"""Primal and dual bounds over time, from the events of a solve or a solver's log."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Trace = list[tuple[float, float | None, float | None]]
"""(seconds, objective of the incumbent, lower bound), None where there is none yet."""

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)"
# The first share of a line is of the tree, the second the gap: bound and incumbent stand between them.
_HIGHS = re.compile(rf"^ [^%]{{11,}}%\s+({_NUMBER})\s+({_NUMBER})\s.*\s(\d+\.?\d*)s$")
_CBC = re.compile(r"^Cbc\d+I .*\((\d+\.?\d*) seconds\)$")
_CBC_INCUMBENT = re.compile(rf"Integer solution of ({_NUMBER}) |({_NUMBER}) best solution")
_CBC_BOUND = re.compile(rf"best possible ({_NUMBER})")
_GUROBI = re.compile(rf"^[H* ] .*\s({_NUMBER}|-)\s+({_NUMBER})\s+(?:{_NUMBER}%|-)\s+\S+\s+(\d+)s$")
_SCIP = re.compile(rf"^.?\s*(\d+\.?\d*)s\|.*\|\s*({_NUMBER}|--)\s*\|\s*({_NUMBER}|--)\s*\|[^|]*\|[^|]*$")


def log_trace(solver: str, log: str) -> Trace | None:
    """The bounds over time in the log of one solve by a solver whose log is read.

    These are HiGHS, SCIP, CBC and Gurobi, which logs whole seconds.

    Returns
    -------
    Trace or None
        None for other solvers, or where there are none.

    Examples
    --------
    >>> log_trace("highs", " J  0  0  0  0.00%   -inf   12.5   Large   0  0  0  0     0.1s")
    [(0.1, 12.5, None)]
    """
    found: Trace = []
    incumbent: float | None = None
    least: float | None = None
    for line in log.splitlines():
        if solver == "cbc" and (match := _CBC.match(line)):
            # A line tells one of the two, or both; 1e+50 stands for none.
            told = [_finite_of(pattern, line) for pattern in (_CBC_INCUMBENT, _CBC_BOUND)]
            incumbent, least = (
                new if new is not None else old for new, old in zip(told, (incumbent, least), strict=True)
            )
            if told != [None, None]:
                found.append((float(match[1]), incumbent, least))
        elif solver == "gurobi" and (match := _GUROBI.match(line)):
            found.append((float(match[3]), _number(match[1]), _number(match[2])))
        elif solver == "highs" and (match := _HIGHS.match(line)):
            found.append((float(match[3]), _number(match[2]), _number(match[1])))
        elif solver == "scip" and (match := _SCIP.match(line)):
            found.append((float(match[1]), _number(match[3]), _number(match[2])))
    return found or None


def _finite_of(pattern: re.Pattern[str], line: str) -> float | None:
    match = pattern.search(line)
    value = None if match is None else _number(next(part for part in match.groups() if part))
    return None if value is None or abs(value) > 1e49 else value


def _number(text: str) -> float | None:
    try:
        return finite(float(text))
    except ValueError:
        return None


def finite(value: float | None) -> float | None:
    """The value, None where it is infinite or missing."""
    return value if value is not None and math.isfinite(value) else None


def primal_dual_integral(trace: Sequence[tuple[float, float | None, float | None]], end: float) -> float:
    """The integral of the gap over time from 0 to ``end`` seconds, in seconds.

    The gap is |primal - dual| / max(|primal|, |dual|), 1 where one of them is missing or their signs differ.

    References
    ----------
    Berthold: Measuring the impact of primal heuristics, 2013; here with both bounds.

    Examples
    --------
    >>> primal_dual_integral([(1.0, 2.0, 1.0), (3.0, 1.0, 1.0)], end=10.0)
    2.0
    """
    total, before, gap = 0.0, 0.0, 1.0
    for seconds, primal, dual in trace:
        now = min(max(seconds, before), end)
        total += gap * (now - before)
        before, gap = now, _gap(primal, dual)
    return total + gap * max(end - before, 0.0)


def primal_integral(trace: Sequence[tuple[float, float | None, float | None]], best: float, end: float) -> float:
    """Mean primal gap from 0 to ``end`` seconds, in [0, 1] (Berthold 2013).

    The gap is |primal - best| / max(|primal|, |best|), 1 where there is no incumbent or the signs differ.

    Examples
    --------
    >>> primal_integral([(1.0, 2.0, None), (3.0, 1.0, None)], best=1.0, end=10.0)
    0.2
    """
    return primal_dual_integral([(seconds, primal, best) for seconds, primal, _ in trace], end) / end


def _gap(primal: float | None, dual: float | None) -> float:
    if primal is None or dual is None or primal * dual < 0:
        return 1.0
    if primal == dual:
        return 0.0
    return min(abs(primal - dual) / max(abs(primal), abs(dual)), 1.0)
