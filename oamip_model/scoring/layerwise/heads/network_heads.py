"""The heads whose programs are mixed-integer.

They are the rest of the network, and an auxiliary classifier.
"""

# The methods of every head are documented once, in MixedHead.
# ruff: noqa: D102

from __future__ import annotations

from typing import ClassVar

from oamip_model.scoring.layerwise.heads.auxiliary import AuxiliaryHead, given_head, train_auxiliary_head
from oamip_model.scoring.layerwise.heads.mixed import MixedHead
from oamip_model.scoring.layerwise.heads.tail import Tail, head_tail, rest_tail
from oamip_model.scoring.layerwise.task import LayerTask, tensors
from oamip_model.torchnet.layers import TorchLayers


class Rest(MixedHead):
    """The rest of the network, with its ReLUs."""

    name: ClassVar[str] = "rest"

    def tail(self, part: LayerTask, trained: AuxiliaryHead | None) -> Tail:
        return rest_tail(part.network, part.images, part.group, part.others)


class Auxiliary(MixedHead):
    """A small classifier of the layer's activations (mathematics:layer-3)."""

    name: ClassVar[str] = "auxiliary"
    trained: ClassVar[bool] = True
    takes_networks: ClassVar[bool] = True

    def train(self, task: LayerTask, layers: TorchLayers) -> AuxiliaryHead | None:
        others, seed = tensors(layers, task.others), task.plan.seed
        given = task.heads.get(task.name)
        if given is not None:
            return given_head(given, layers, task.images, task.labels, task.group, others, seed)
        return train_auxiliary_head(
            layers, task.images, task.labels, task.group, others, seed=seed, weights=task.image_weights
        )

    def tail(self, part: LayerTask, trained: AuxiliaryHead | None) -> Tail:
        assert trained is not None
        return head_tail(part.network, part.images, part.group, part.others, trained.network)
