"""A head of your own: the mean activations of each class, in the place of the layers behind a scored one.

Run it with ``python examples/own_head.py``. Nothing in the package is touched: the head is registered, and from then on
its name is accepted wherever a head's name is. A package would offer it by an entry point instead:

    [options.entry_points]
    oamip_model.heads =
        prototypes = my_package.heads:Prototypes
"""

from __future__ import annotations

import numpy as np
import torch

import oamip_model as om
from oamip_model.scoring.layerwise.heads import register_head
from oamip_model.scoring.layerwise.heads.columns import shared_columns
from oamip_model.scoring.layerwise.heads.convex_layer import ColumnHead
from oamip_model.scoring.layerwise.heads.representation import Representation
from oamip_model.scoring.program_result import TrainedHead


class Prototypes(ColumnHead):
    """The logit of a class is how much nearer the activations are to its mean than to 0: 2 <r, mean> - |mean|^2.

    No steps of training are needed, so it is known at once. The logits are affine in the activations, so they are
    affine in the scores too, and the base class does the rest: the convex program, its bound, a path of weights for an
    amount, and in the last layer the network's own columns.
    """

    name = "prototypes"

    def columns(self, task, layers, others):
        """Logits in the scores of the layer, and what is known of the head."""
        features = Representation(layers, task.images, task.group, others)
        r = features.tensor()
        labels = torch.as_tensor(task.labels, device=r.device)
        one_of = torch.nn.functional.one_hot(labels, task.network.classes).to(r.dtype)
        means = torch.einsum("nc,nup->cup", one_of, r) / one_of.sum(0).clamp_min(1.0)[:, None, None]
        weight, bias = 2.0 * means, -means.square().sum(dim=(1, 2))
        logits = torch.einsum("nup,cup->nc", r, weight) + bias
        accuracy = float((logits.argmax(dim=1) == labels).double().mean())
        trained = TrainedHead(accuracy, 0, task.plan.seed, features.units * features.positions)
        return shared_columns(features, weight, bias, task.labels, r), trained


register_head(Prototypes)


def make_problem(seed: int = 0):
    """A small trained network, with its images and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(300) % 3
    images = random.normal(size=(3, 8))[labels] + random.normal(scale=0.7, size=(300, 8))
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Linear(8, 12), torch.nn.ReLU(), torch.nn.Linear(12, 10), torch.nn.ReLU(), torch.nn.Linear(10, 3)
    )
    om.train(module, images, labels, epochs=20, seed=seed)
    return om.read_network(module.eval(), (8,)), images, labels


def main() -> None:
    """Cut half of the units by the package's own head, and by this one."""
    network, images, labels = make_problem()
    for head in ("pattern", "prototypes"):
        scores = om.score(network, images, labels, om.Forward(amount=0.5, head=head))
        smaller = om.prune(network, scores, amount=0.5)
        first = scores.programs[0]
        print(f"{head}: {first.status}, gap {first.gap:.1e}, accuracy {om.accuracy(smaller, images, labels):.3f}")


if __name__ == "__main__":
    main()
