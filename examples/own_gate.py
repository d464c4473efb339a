"""A gate of your own: h = max(0, a - 2 (1 - s) M), in which a score of one half already removes a unit.

Run it with ``python examples/own_gate.py``. Nothing in the package is touched: the gate is registered, and from then on
its name is accepted wherever a gate's name is. A package would offer it by an entry point instead:

    [options.entry_points]
    oamip_model.gates =
        steep = my_package.gates:Steep
"""

from __future__ import annotations

import numpy as np
import torch

import oamip_model as om
from oamip_model.formulation import Gate, register_gate

STEEPNESS = 2.0


class Steep(Gate):
    """h = max(0, a'), a' = a - 2 (1 - s) M, where M >= U+ is the package's own scale of scores.

    The base class has the rows h >= a - (1 - s) K, h <= a - (1 - s) M - B (1 - z), h <= U+ z and h <= U+ s. Here both K
    and M are 2 M, so that a' lies in [L - 2 M, U], and B is its lower end (which is what the base class makes of M).
    """

    name = "steep"
    scores = ("continuous", "binary")
    scaled = True

    def output(self, a, s, scale):
        """What the gate passes on, in numpy."""
        return np.maximum(a - STEEPNESS * (1.0 - s) * scale, 0.0)

    def torch_output(self, a, s, scale):
        """The same in torch, with gradients."""
        return torch.relu(a - STEEPNESS * (1.0 - s) * scale)

    def shift(self, g):
        """M of the row h <= a - (1 - s) M - B (1 - z), for each gated ReLU."""
        return np.where(g.score >= 0, STEEPNESS * g.scale, 0.0)

    def slack(self, g):
        """K of the row h >= a - (1 - s) K."""
        return self.shift(g)

    def decided(self, r):
        """A constant pre-activation c > 0 is not passed on as s c: it needs rows, with bounds c."""
        open_ = r.fixed & r.scored & (r.constant > 0)
        return r.fixed & ~open_, np.where(open_, r.constant, r.low), np.where(open_, r.constant, r.high)


register_gate(Steep)


def main() -> None:
    """Print the scores of one network in the package's own gate, and in this one."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    images = np.random.default_rng(0).normal(size=(4, 4))
    labels = np.array([0, 1, 2, 0])
    network = om.read_network(module, (4,))
    for gate in ("subtractive", "steep"):
        instance = om.build_instance(network, images, labels, om.Formulation(gate=gate, sparsity="mean"))
        solution = om.solve_instance(instance)
        scores = np.concatenate(list(solution.scores.values()))
        print(f"{gate}: {solution.status.value}, objective {solution.objective:.4f}, scores {scores.round(3)}")


if __name__ == "__main__":
    main()
