"""One look for the pictures of every report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
