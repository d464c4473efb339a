"""One look for the pictures of every report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#777777")
"""The palette of Okabe and Ito, with grey for its yellow, which is faint on white. Colour-blind
readers can distinguish them."""


def plain(axes: Axes) -> Axes:
    """The axes, without a box and with a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def log_ticks(axes: Axes, text: Callable[[float], str] = "{:.3g}".format, *, upright: bool = False) -> None:
    """Make an axis logarithmic, with so few ticks that none overlap.

    Call it once the data are drawn and the limits are set.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The axes.
    text : callable
        What is written at a tick, of its value.
    upright : bool, default False
        Whether it is the vertical axis, not the horizontal one.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    (axes.set_yscale if upright else axes.set_xscale)("log")
    low, high = axes.get_ylim() if upright else axes.get_xlim()
    axis = axes.yaxis if upright else axes.xaxis
    axis.set_major_locator(FixedLocator(few_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def few_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """About ``most`` round numbers at most, far apart on a logarithmic axis.

    Examples
    --------
    >>> few_ticks(0.8, 200), few_ticks(20, 42), few_ticks(1e-3, 1e9)
    ([1.0, 10.0, 100.0], [20.0, 30.0, 40.0], [0.001, 0.1, 10.0, 1000.0, 100000.0, 10000000.0, 1000000000.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 6, 8), tuple(k / 10 for k in range(10, 100))):
        every = [float(f"{d * 10.0**k:.12g}") for k in range(first, last + 1) for d in digits]
        inside = [value for value in every if low <= value <= high]
        if len(inside) > len(found):
            found = inside
        if len(found) >= 3:
            break
    if len(found) < 2:
        return [float(f"{end:.3g}") for end in (low, high)]
    least = math.log(high / low) / most
    kept = found[:1]
    for value in found[1:]:
        if math.log(value / kept[-1]) >= least:
            kept.append(value)
    return kept
