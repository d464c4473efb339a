"""How many ReLUs each method of bounds decided, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oamip_model.network.maps import Array
from oamip_model.records import Number


@dataclass(frozen=True)
class LayerReport:
    """One ReLU layer after one method of bounds, over all images.

    Parameters
    ----------
    method : str
        The method.
    layer : str
        The layer.
    off, on, unstable : int
        ReLUs that are always off, always on, and open.
    decided : int
        ReLUs that this method decided, and that the methods before left open.
    mean_width : float
        Mean of U - L.
    seconds : float
        Seconds of this method for this layer, added up over processes.
    """

    method: str
    layer: str
    off: int
    on: int
    unstable: int
    decided: int
    mean_width: Number
    seconds: float


def layer_report(
    method: str, layer: str, before: tuple[Array, Array] | None, after: tuple[Array, Array], seconds: float
) -> LayerReport:
    """The report of a method that turned the bounds ``before`` into ``after``.

    Both are pairs (L, U); ``before`` is None for the first method.

    Examples
    --------
    >>> import numpy as np
    >>> layer_report("interval", "0", None, (np.array([[-1.0, 0.5]]), np.array([[1.0, 2.5]])), 0.1).unstable
    1
    """
    counts, width = np.zeros(3, np.int64), 0.0
    for i, (low, high) in enumerate(zip(*after, strict=True)):  # image by image, whose arrays are small
        off, on = high <= 0, (low >= 0) & (high > 0)
        open_before = np.ones_like(off) if before is None else (before[0][i] < 0) & (before[1][i] > 0)
        counts += (off.sum(), on.sum(), (open_before & (off | on)).sum())
        width += float((high - low).sum())
    off_all, on_all, decided = (int(count) for count in counts)
    entries = after[0].size
    return LayerReport(
        method, layer, off_all, on_all, entries - off_all - on_all, decided, width / max(entries, 1), seconds
    )
