"""Primal and dual bounds over time, from the events of a solve or a solver's log."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

Trace = list[tuple[float, float | None, float | None]]
"""(seconds, objective of the incumbent, lower bound), None where there is none yet."""

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)"
_HIGHS = re.compile(rf"^ .{{11,}}%\s+({_NUMBER})\s+({_NUMBER})\s.*\s(\d+\.?\d*)s$")
_SCIP = re.compile(rf"^.?\s*(\d+\.?\d*)s\|.*\|\s*({_NUMBER}|--)\s*\|\s*({_NUMBER}|--)\s*\|[^|]*\|[^|]*$")


def log_trace(solver: str, log: str) -> Trace | None:
    """The bounds over time in the log of one solve by HiGHS or SCIP.

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
    for line in log.splitlines():
        if solver == "highs" and (match := _HIGHS.match(line)):
            found.append((float(match[3]), _number(match[2]), _number(match[1])))
        elif solver == "scip" and (match := _SCIP.match(line)):
            found.append((float(match[1]), _number(match[3]), _number(match[2])))
    return found or None


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


def _gap(primal: float | None, dual: float | None) -> float:
    if primal is None or dual is None or primal * dual < 0:
        return 1.0
    if primal == dual:
        return 0.0
    return min(abs(primal - dual) / max(abs(primal), abs(dual)), 1.0)
