"""Cuts by Torch-Pruning's own importances, with which masks are compared."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.data import Dataset

IMPORTANCES: dict[str, str] = {
    "tp-magnitude": "GroupMagnitudeImportance",
    "tp-taylor": "GroupTaylorImportance",
    "tp-hessian": "GroupHessianImportance",
    "tp-lamp": "LAMPImportance",
}
"""Names in tables, and the classes of ``torch_pruning.importance`` with their defaults."""
_GRADIENT_IMAGES = 500


def cut_by(importance: str, module: nn.Module, share: float, train: Dataset, seed: int) -> nn.Module:
    """A copy of a module that Torch-Pruning cut by an importance.

    The same share of each of its groups is cut. The layer of the logits is kept whole.

    Parameters
    ----------
    importance : str
        One of IMPORTANCES. Those that need gradients get those of the cross-entropy of up to 500
        images, as many of each class.
    module : torch.nn.Module
        The module, which is not changed.
    share : float
        The share of units to remove.
    train : Dataset
        Training images.
    seed : int
        Seed of the choice of images.
    """
    import torch
    import torch_pruning

    import oamip_model as om

    cut = copy.deepcopy(module).eval()
    measure: Any = getattr(torch_pruning.importance, IMPORTANCES[importance])()
    chosen = om.choose_images(train, n=min(_GRADIENT_IMAGES, train.count), seed=seed)
    images = torch.as_tensor(chosen.images, dtype=next(cut.parameters()).dtype)
    labels = torch.as_tensor(chosen.labels)
    logits = [part for part in cut.modules() if isinstance(part, torch.nn.Linear)][-1]
    pruner = torch_pruning.BasePruner(cut, images[:1], measure, pruning_ratio=share, ignored_layers=[logits])
    if importance == "tp-taylor":
        torch.autograd.backward(torch.nn.functional.cross_entropy(cut(images), labels))
    elif importance == "tp-hessian":  # squares of the gradients of single images
        measure.zero_grad()
        for image, label in zip(
            torch.split(images, 1), torch.split(labels, 1), strict=True
        ):  # gradients of single images are squared
            cut.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(cut(image), label))
            measure.accumulate_grad(cut)
    pruner.step()
    cut.zero_grad(set_to_none=True)
    return cut
