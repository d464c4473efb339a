"""Networks by name, training, and accuracy, in torch, loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.training.evaluate import accuracy as accuracy
    from oamip_model.training.evaluate import logits as logits
    from oamip_model.training.greedy import GreedyResult as GreedyResult
    from oamip_model.training.greedy import auxiliary_classifier as auxiliary_classifier
    from oamip_model.training.greedy import train_greedy as train_greedy
    from oamip_model.training.loop import Progress as Progress
    from oamip_model.training.loop import TrainingResult as TrainingResult
    from oamip_model.training.loop import train as train
    from oamip_model.training.networks import NETWORKS as NETWORKS
    from oamip_model.training.networks import make_network as make_network
    from oamip_model.training.recipe import PUBLISHED as PUBLISHED
    from oamip_model.training.recipe import Options as Options
    from oamip_model.training.recipe import Recipe as Recipe
    from oamip_model.training.trainer import Trainer as Trainer

_HOMES = {
    "NETWORKS": "networks", "make_network": "networks",
    "GreedyResult": "greedy", "auxiliary_classifier": "greedy", "train_greedy": "greedy",
    "Progress": "loop", "TrainingResult": "loop", "train": "loop",
    "PUBLISHED": "recipe", "Options": "recipe", "Recipe": "recipe", "Trainer": "trainer",
    "accuracy": "evaluate", "logits": "evaluate",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
