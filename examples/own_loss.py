"""A loss of your own: the squared hinge, the sum over other classes of max(0, m + o_c - o_y)^2.

Run it with ``python examples/own_loss.py``. A loss is convex in the logits and at least 0. It needs no rows: the
program approximates it by tangents, which follow from values and slopes, until the gap is closed. In torch, for the
heuristic and for scores layer by layer, the same two functions are called, unless you state them there as well.

A package would offer it by an entry point of the group ``oamip_model.losses``.
"""

from __future__ import annotations

import numpy as np
import torch

import oamip_model as om
from oamip_model.formulation import Loss, register_loss


class SquaredHinge(Loss):
    """Sum over the other classes of the squares of what the label's logit misses the margin by."""

    name = "squared-hinge"
    margined = True  # it takes the option margin
    monotone = True  # it never falls where the label's logit falls, or another one rises

    def values(self, logits, labels, margin):
        """The loss of each image, (n,)."""
        return (self.missed(logits, labels, margin) ** 2).sum(axis=1)

    def slopes(self, logits, labels, margin):
        """Its gradient by the logits, (n, classes)."""
        slopes = 2.0 * self.missed(logits, labels, margin)
        slopes[np.arange(len(slopes)), labels] = -slopes.sum(axis=1)
        return slopes

    def missed(self, logits, labels, margin):
        """max(0, m + o_c - o_y), (n, classes), and 0 at the label."""
        rows = np.arange(len(logits))
        missed = np.maximum(margin + logits - logits[rows, labels][:, None], 0.0)
        missed[rows, labels] = 0.0
        return missed


register_loss(SquaredHinge)


def main() -> None:
    """Print the optimum of one network by the package's own hinge, and by this loss."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    images = np.random.default_rng(0).normal(size=(4, 4))
    labels = np.array([0, 1, 2, 0])
    network = om.read_network(module, (4,))
    for loss in ("hinge", "squared-hinge"):
        instance = om.build_instance(
            network, images, labels, om.Formulation(loss=loss, scores="binary", sparsity="mean")
        )
        solution = om.solve_instance(instance)
        kept = sum(int(part.sum()) for part in solution.scores.values())
        print(f"{loss}: {solution.status.value}, objective {solution.objective:.4f}, {kept} units kept")


if __name__ == "__main__":
    main()
