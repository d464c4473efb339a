"""The demo's picture: sorted scores of each layer, and what pruning costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from oamip_model.demo.rows import RANDOM_DRAWS, PrunedRow
from oamip_model.files import replacing

if TYPE_CHECKING:
    from oamip_model.scoring import Scores

# From the palette of Okabe and Ito, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREY, _GREEN = "#0072B2", "#D55E00", "#777777", "#009E73"


def draw(scores: Scores, rows: Sequence[PrunedRow], accuracy: float, images: int, path: Path) -> Path:
    """Draw sorted scores, and test accuracy against the share removed.

    The picture is a .png file.

    accuracy: of the network as trained, on ``images`` test images.
    """
    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), colour in zip(scores.by_layer.items(), (_BLUE, _GREEN, _ORANGE, _GREY) * 9, strict=False):
        share = 100 * (np.arange(len(values)) + 0.5) / len(values)
        left.plot(share, np.sort(values), color=colour, linewidth=2, label=f"{name} ({len(values)} units)")
    left.set(xlabel="units, lowest score first (%)", ylabel="importance score", xlim=(0, 100), ylim=(-0.02, 1.02))
    left.set_title(f"{scores.gate} program{', relaxed' if scores.relaxed else ''} ({scores.solver}: {scores.status})")
    left.legend(loc="upper left", frameon=False)

    shares = [100 * row.share for row in rows]
    right.axhline(100 * accuracy, color="black", linewidth=1, linestyle=":", label="as trained")
    lines = (
        ("layerwise", "layer by layer, all training images", _GREEN, "D"),
        ("scores", "published program, 10 images", _BLUE, "o"),
        ("weight_norm", "by weight norm", _ORANGE, "s"),
    )
    for field, label, colour, marker in (*lines, ("random", f"random, mean of {RANDOM_DRAWS} draws", _GREY, "^")):
        heights = [100 * getattr(row, field) for row in rows]
        right.plot(shares, heights, color=colour, marker=marker, linewidth=2, label=label)
    right.set(xlabel="units removed from each layer (%)", ylabel=f"accuracy on {images} test images (%)", ylim=(0, 100))
    right.set_title("Pruned, no fine-tuning")
    right.legend(loc="lower left", frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path
