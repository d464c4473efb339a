"""A sparsity of your own: a unit costs the norm of its weights, so that small units are cheap to keep.

Run it with ``python examples/own_sparsity.py``. A sparsity that is a weighted mean of the scores states the price of
each unit, in any scale. The package makes the prices add up to 1, and does the rest: rows, torch and bounds.

A package would offer it by an entry point of the group ``oamip_model.sparsities``.
"""

from __future__ import annotations

import numpy as np
import torch

import oamip_model as om
from oamip_model.formulation import Linear, register_sparsity
from oamip_model.network.norms import unit_norms


class Norms(Linear):
    """Prices of units by the norm of their weights."""

    name = "norms"

    def prices(self, network):
        """The price of each unit, (units,), group after group."""
        norms = unit_norms(network)
        return np.concatenate([norms[group.name] for group in network.groups])


register_sparsity(Norms)


def main() -> None:
    """Print the scores of one network by the package's mean, and by this sparsity."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    images = np.random.default_rng(0).normal(size=(4, 4))
    labels = np.array([0, 1, 2, 0])
    network = om.read_network(module, (4,))
    for sparsity in ("mean", "norms"):
        instance = om.build_instance(network, images, labels, om.Formulation(scores="binary", sparsity=sparsity))
        solution = om.solve_instance(instance)
        scores = np.concatenate(list(solution.scores.values()))
        print(f"{sparsity}: {solution.status.value}, objective {solution.objective:.4f}, scores {scores.round()}")


if __name__ == "__main__":
    main()
