"""The heads whose programs are convex.

They are the rest of the network linearised, and a linear classifier.
"""

# The methods of every head are documented once, in ColumnHead.
# ruff: noqa: D102

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from oamip_model.network.maps import Array
from oamip_model.scoring.layerwise.heads.columns import Oracle, pattern_columns, shared_columns
from oamip_model.scoring.layerwise.heads.convex_layer import ColumnHead
from oamip_model.scoring.layerwise.heads.representation import Representation
from oamip_model.scoring.layerwise.heads.trained import train_linear_head
from oamip_model.scoring.layerwise.task import LayerTask
from oamip_model.scoring.program_result import TrainedHead
from oamip_model.torchnet.layers import TorchLayers


class Pattern(ColumnHead):
    """The rest of the network with its ReLU states held (mathematics:layer-1)."""

    name: ClassVar[str] = "pattern"
    linearised: ClassVar[bool] = True

    def columns(
        self, task: LayerTask, layers: TorchLayers, others: dict[int, Tensor]
    ) -> tuple[Oracle, TrainedHead | None]:
        at = None if task.at is None else torch.as_tensor(task.at, dtype=layers.dtype, device=layers.device)
        return pattern_columns(layers, task.images, task.labels, task.group, others, at), None

    def exact_at(self, task: LayerTask, scores: Array) -> Array | None:
        # The tangent touches the network where it is linearised.
        return np.ones(task.network.groups[task.group].size) if task.at is None else task.at


class LinearClassifier(ColumnHead):
    """One affine map from the layer's activations to logits, trained on them."""

    name: ClassVar[str] = "linear"
    trained: ClassVar[bool] = True

    def columns(
        self, task: LayerTask, layers: TorchLayers, others: dict[int, Tensor]
    ) -> tuple[Oracle, TrainedHead | None]:
        features = Representation(layers, task.images, task.group, others)
        known = features.tensor()
        head = train_linear_head(
            known, task.labels, task.network.classes, seed=task.plan.seed, weights=task.image_weights
        )
        trained = TrainedHead(head.accuracy, head.epochs, task.plan.seed, features.units * features.positions)
        return shared_columns(features, head.weight, head.bias, task.labels, known), trained
