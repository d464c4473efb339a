"""Measures of a smaller network, and of the scores that it was cut by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from oamip_benchmarks.experiments.cells import Plain
from oamip_model.training.evaluate import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from oamip_model.data import Dataset
    from oamip_model.scoring import Scores


def measured(
    module: nn.Module, test: Dataset, full: nn.Module, keep: Mapping[str, NDArray[np.bool_]] | None = None
) -> Plain:
    """Accuracy, size and confusion matrix of a module.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    test : Dataset
        Images that it was not made from.
    full : torch.nn.Module
        The network before pruning, for the sizes.
    keep : mapping, optional
        Masks (units,) by layer, True where the unit is kept. None where all are.

    Returns
    -------
    dict
        Shares are from 0 to 1. "confusion" counts images by their label (row) and the class of the
        largest logit (column). "macs_left" are multiply-accumulates for one image.
    """
    found = logits(module, test.images).argmax(axis=1)
    confusion = np.zeros((test.classes, test.classes), dtype=np.int64)
    np.add.at(confusion, (test.labels, found), 1)
    layers = {name: [int((~mask).sum()), len(mask)] for name, mask in (keep or {}).items()}
    units = sum(size for _, size in layers.values())
    parameters, before = (sum(p.numel() for p in each.parameters()) for each in (module, full))
    return {
        "accuracy": float((found == test.labels).mean()),
        "units": sum(gone for gone, _ in layers.values()) / units if units else 0.0,
        "parameters": 1 - parameters / before, "parameters_left": parameters, "layers": layers,
        "macs_left": multiplications(module, test.images[:1]),
        "test_images": test.count, "confusion": confusion.tolist(),
    }  # fmt: skip


def multiplications(module: nn.Module, image: NDArray[np.float64]) -> int:
    """Multiply-accumulates of a module for one image (1, ...), as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        logits(module, image)
    return int(counter.get_total_flops()) // 2


def known(scores: Scores) -> Plain:
    """What was proved of the scores, and what was not, in plain values."""
    return {
        "proved": scores.proved, "status": scores.status, "gap": scores.gap, "relaxed": scores.relaxed,
        "averaged": scores.averaged, "score_images": scores.images, "summary": scores.summary(),
    }  # fmt: skip
