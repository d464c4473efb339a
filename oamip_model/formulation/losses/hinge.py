"""The loss "hinge": by what a label's logit misses a margin over all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.losses.base import Labels, Loss
from oamip_model.formulation.rows import MatrixRows, Rule
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor


class Hinge(Loss):
    """The loss max(0, m + max_{c != y} o_c - o_y)."""

    name = "hinge"
    by_tangents = False
    margined = True
    monotone = True

    def values(self, logits: Array, labels: Labels, margin: float) -> Array:
        """See :func:`hinge`."""
        return hinge(logits, labels, margin)

    def slopes(self, logits: Array, labels: Labels, margin: float) -> Array:
        """1 at the largest other logit and -1 at the label's, where the loss is positive."""
        others, rows = logits.copy(), np.arange(len(logits))
        others[rows, labels] = -np.inf
        rival = others.argmax(axis=1)
        on = (margin + others[rows, rival] - logits[rows, labels] > 0).astype(np.float64)
        slope = np.zeros_like(logits)
        slope[rows, rival], slope[rows, labels] = on, -on
        return slope

    def rows(self) -> dict[str, Rule]:
        """t >= m + o_c - o_y for every other class c."""
        return {"hinge_rows": hinge_rows}

    def torch_values(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of each image in torch."""
        from torch.nn import functional as F

        at = labels[..., None]
        others = logits.scatter(-1, at, float("-inf")).max(dim=-1).values
        return F.relu(margin + others - logits.gather(-1, at)[..., 0])

    def torch_sum(self, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
        """The sum of the losses, and a subgradient.

        Examples
        --------
        >>> import torch
        >>> total, slope = Hinge().torch_sum(torch.tensor([[2.0, 1.5], [2.0, 0.0]]), torch.tensor([0, 0]), 1.0)
        >>> total, slope.tolist()
        (0.5, [[-1.0, 1.0], [-0.0, 0.0]])
        """
        import torch

        rows = torch.arange(len(labels))
        others = logits.clone()
        others[rows, labels] = -torch.inf
        largest, rival = others.max(dim=1)
        missed = margin + largest - logits[rows, labels]
        on = (missed > 0).to(logits.dtype)
        slope = torch.zeros_like(logits)
        slope[rows, rival] = on
        slope[rows, labels] = -on
        return float((missed * on).sum()), slope

    def limit_rows(self, logits: Array, label: int, margin: float, largest: float) -> tuple[Array, Array]:
        """m + o_c - o_y for every other class c."""
        others = np.delete(np.arange(len(logits)), label)
        gradient = np.zeros((len(others), len(logits)))
        gradient[np.arange(len(others)), others], gradient[:, label] = 1.0, -1.0
        return gradient, np.full(len(others), margin)


def hinge(logits: Array, labels: NDArray[np.int64], margin: float) -> Array:
    """Hinge loss max(0, margin + max_{c != y} o_c - o_y) of each image, (n,)."""
    right = logits[np.arange(len(logits)), labels]
    others = logits.copy()
    others[np.arange(len(logits)), labels] = -np.inf
    return np.asarray(np.maximum(0.0, margin + others.max(axis=1) - right))


def other_classes(model: Any) -> tuple[list[tuple[int, int]], sp.csr_array]:
    """Names (image, other class), and logit differences as rows.

    They are the label's logit less the other class's.
    """
    labels = np.asarray(model.label_array.value)
    classes = len(model.CLASS)
    names = [(n, c) for n, y in enumerate(labels.tolist()) for c in range(classes) if c != y]
    image, other = np.array(names, dtype=np.int64).reshape(-1, 2).T
    return names, _difference(image * classes + labels[image], image * classes + other, len(model.o))


def hinge_rows(model: Any) -> MatrixRows:
    """t >= m + o_c - o_y for every other class c (mathematics:loss-hinge-1)."""
    names, lead = other_classes(model)
    rows = MatrixRows.of(names, lower=float(model.margin.value))
    return rows.plus(model.t, np.array([n for n, _ in names], dtype=np.int64)).plus_matrix(model.o, lead)


def _difference(plus: NDArray[np.int64], minus: NDArray[np.int64], columns: int) -> sp.csr_array:
    rows = np.arange(len(plus))
    values = np.concatenate([np.ones(len(plus)), -np.ones(len(minus))])
    return sp.csr_array((values, (np.tile(rows, 2), np.concatenate([plus, minus]))), shape=(len(plus), columns))
