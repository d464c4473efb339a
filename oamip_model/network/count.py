"""How many trained parameters a network has."""

from __future__ import annotations

from collections.abc import Iterable

from oamip_model.network.ops import ChannelScale, Conv2d, Dense
from oamip_model.network.types import Layer


def count_parameters(layers: Iterable[Layer]) -> int:
    """Weights of every term plus the biases that are in use (a bias of zeros counts as none)."""
    total = 0
    for layer in layers:
        for term in layer.terms:
            if isinstance(term.map, Dense | Conv2d):
                total += term.map.weight.size
            elif isinstance(term.map, ChannelScale):
                total += term.map.scale.size
        if layer.bias.any():
            total += layer.bias.size
    return total
