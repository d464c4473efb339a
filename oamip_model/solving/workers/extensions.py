"""What a program has registered, so that the processes that work for it can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from oamip_model import registry
from oamip_model.solving.protocol import Backend
from oamip_model.solving.registry import register_backend, registered_backends

Extensions: TypeAlias = tuple[registry.Extensions, tuple[Callable[[], Backend], ...]]


def extensions() -> Extensions:
    """What was registered in this process: solvers, and what :mod:`oamip_model.registry` holds."""
    return registry.extensions(), registered_backends()


def adopt(found: Extensions) -> None:
    """Register what :func:`extensions` gave in another process."""
    parts, backends = found
    registry.adopt(parts)
    for make in backends:
        register_backend(make)
