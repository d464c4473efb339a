"""Networks by name, training, and accuracy, in torch (which is loaded on first use)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oamip_model.training.evaluate import accuracy, logits
    from oamip_model.training.loop import TrainingResult, train
    from oamip_model.training.networks import NETWORKS, make_network

_HOMES = {
    "NETWORKS": "networks", "make_network": "networks",
    "TrainingResult": "loop", "train": "loop",
    "accuracy": "evaluate", "logits": "evaluate",
}  # fmt: skip

__all__ = ["NETWORKS", "TrainingResult", "accuracy", "logits", "make_network", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
