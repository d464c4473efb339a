"""What a program has registered, in a form that other processes can take over."""

from __future__ import annotations

from typing import Any

from oamip_model.formulation.gates import GATES
from oamip_model.formulation.losses import LOSSES
from oamip_model.formulation.registry import Registry
from oamip_model.formulation.sparsities import SPARSITIES

_REGISTRIES: tuple[Registry[Any], ...] = (GATES, LOSSES, SPARSITIES)


def extensions() -> tuple[tuple[Any, ...], ...]:
    """The gates, losses and sparsities that were registered in this process."""
    return tuple(registry.registered() for registry in _REGISTRIES)


def adopt(found: tuple[tuple[Any, ...], ...]) -> None:
    """Register what :func:`extensions` gave in another process."""
    for registry, things in zip(_REGISTRIES, found, strict=True):
        for thing in things:
            registry.register(thing)
