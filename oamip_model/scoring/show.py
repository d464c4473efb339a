"""Scores as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.files import check_writable, replacing

_FORMATS = (".png", ".pdf", ".svg")


def as_frame(data: Any) -> Any:
    """A pandas DataFrame of a dictionary of columns, or of a list of records.

    Raises InputError where pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("to_frame: needs pandas, which is not installed (pip install oamip_model[frame])") from None
    return pandas.DataFrame(data)


def frame_of(by_layer: Mapping[str, NDArray[np.float64]]) -> Any:
    """A pandas DataFrame with the columns layer, unit and score."""
    sizes = [len(scores) for scores in by_layer.values()]
    return as_frame(
        {
            "layer": np.repeat(list(by_layer), sizes),
            "unit": np.concatenate([np.arange(size) for size in sizes]),
            "score": np.concatenate(list(by_layer.values())),
        }
    )


def draw_scores(by_layer: Mapping[str, NDArray[np.float64]], title: str, path: str | Path | None) -> Any:
    """A matplotlib figure with one line a layer, its scores in falling order.

    They are drawn by share of its units.

    path: file that it is saved to. Raises InputError where matplotlib is not installed, or for a file of another kind.
    """
    target = None if path is None else Path(path)
    if target is not None and target.suffix not in _FORMATS:
        raise InputError(f"plot: {target} is not a name ending in {', '.join(_FORMATS)}")
    if target is not None:
        check_writable(target, "plot")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plot: needs matplotlib, which is not installed (pip install oamip_model[plot])") from None
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, scores in by_layer.items():
        share = (np.arange(len(scores)) + 0.5) / len(scores)
        axes.plot(share, np.sort(scores)[::-1], label=f"{name} ({len(scores)} units)")
    axes.set(xlabel="share of the layer's units", ylabel="score", xlim=(0, 1), ylim=(-0.02, 1.02), title=title)
    axes.legend()
    if target is not None:
        with replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:])
    return figure
