"""Figures of a pruned network for a study's page: scores, filters and confusions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from oamip_benchmarks.experiments.cells import Plain

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

WIDE = 50
"""Units in a row of the map."""
MOST_FILTERS = 64
_STAYS, _GOES = "#0072B2", "#D55E00"
_MAP = LinearSegmentedColormap.from_list("scores", ["#ffffff", "#9ecae1", "#08306b"])


def score_map(by_layer: Mapping[str, NDArray[np.float64]], keep: Mapping[str, NDArray[np.bool_]]) -> Figure:
    """Every unit's score as a square, layer by layer in the network's order.

    A cross marks the units that are removed. Below stand the numbers of every fifth unit of a row, and beside each of
    several rows that of its first.
    """
    heights = [math.ceil(len(scores) / WIDE) for scores in by_layer.values()]
    figure = Figure(figsize=(11.0, 0.75 + 0.21 * sum(heights) + 0.6 * len(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, scores), height in zip(panels, by_layer.items(), heights, strict=True):
        padded = np.full(height * WIDE, np.nan)
        padded[: len(scores)] = scores
        shown = axes.imshow(padded.reshape(height, WIDE), cmap=_MAP, vmin=0, vmax=1, aspect="equal")
        gone = np.flatnonzero(~keep[name])
        axes.plot(gone % WIDE, gone // WIDE, "x", color=_GOES, markersize=5, markeredgewidth=1.2)
        axes.set_title(f"{name}: {len(scores) - len(gone)} of {len(scores)} units stay", loc="left", fontsize=9)
        axes.set_xticks(range(0, min(len(scores), WIDE), 5))
        axes.set_yticks(range(height), [str(WIDE * row) for row in range(height)] if height > 1 else [""])
        axes.tick_params(labelsize=7, length=0)
        axes.set_xticks(np.arange(-0.5, WIDE), minor=True)
        axes.set_yticks(np.arange(-0.5, height), minor=True)
        axes.grid(which="minor", color="white", linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        axes.set(xlim=(-0.5, WIDE - 0.5))
        axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=panels.tolist(), label="score", shrink=min(1.0, 1.2 / figure.get_size_inches()[1]))
    return figure


def filters(module: nn.Module, layer: str, scores: NDArray[np.float64], keep: NDArray[np.bool_]) -> Figure | None:
    """The filters of a convolution as pictures, with their scores.

    A picture is the mean over input channels. Each has a scale of its own: red is positive, blue negative. Blue frames
    are kept, orange ones are removed.

    Returns
    -------
    Figure or None
        None for another layer.
    """
    conv = dict(module.named_modules()).get(layer)
    weight = getattr(conv, "weight", None)
    if weight is None or weight.ndim != 4:
        return None
    pictures = weight.detach().numpy().mean(axis=1)[:MOST_FILTERS]
    columns = min(16, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(0.62 * columns + 0.2, 0.85 * rows + 0.45), layout="constrained")
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set(xticks=[], yticks=[])
        if number >= len(pictures):
            axes.set_visible(False)
            continue
        most = float(np.abs(pictures[number]).max()) or 1.0
        axes.imshow(pictures[number], cmap="RdBu_r", vmin=-most, vmax=most)
        colour = _STAYS if keep[number] else _GOES
        axes.spines[:].set(color=colour, linewidth=2)
        axes.set_title(f"{scores[number]:.2f}", fontsize=7, color=colour, pad=2)
    figure.suptitle(layer, x=0.01, ha="left", fontsize=9)
    return figure


_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def class_names(data: str, count: int) -> list[str]:
    """The names of the classes of a data set, or their numbers where they have none.

    Examples
    --------
    >>> class_names("fashion-mnist-2000", 10)[:2], class_names("mine.npz", 3)
    (['T-shirt', 'trouser'], ['0', '1', '2'])
    """
    known = _FASHION if data.startswith("fashion-mnist") else _CIFAR if data.startswith("cifar-10") else ()
    return list(known) if len(known) == count else [str(k) for k in range(count)]


def confusion(results: Sequence[tuple[str, Plain]], data: str = "") -> Figure:
    """Confusion matrices side by side, in per cent of the images of each class.

    data: name of the data set, for the names of its classes.
    """
    figure = Figure(figsize=(4.6 * len(results), 4.4), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (title, result) in zip(panels, results, strict=True):
        counts = np.asarray(result["confusion"], dtype=np.float64)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for row, column in zip(*np.nonzero(share > 0.5), strict=True):
            colour = "white" if share[row, column] > 60 else "#222222"
            axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
        names = class_names(data, len(counts))
        turned = 60 if max(map(len, names)) > 2 else 0
        ends = {"ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(range(len(counts)), names, fontsize=8, rotation=turned, **ends)
        axes.set_yticks(range(len(counts)), names, fontsize=8)
        axes.set(xlabel="taken for", ylabel="class")
        axes.set_title(f"{title}: {100 * result['accuracy']:.2f} %", loc="left", fontsize=10)
    return figure
