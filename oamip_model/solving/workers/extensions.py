"""What a program has registered, so that the processes that work for it can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from oamip_model.formulation import extensions as formulation
from oamip_model.solving.protocol import Backend
from oamip_model.solving.registry import register_backend, registered_backends

Extensions: TypeAlias = tuple[tuple[tuple[Any, ...], ...], tuple[Callable[[], Backend], ...]]


def extensions() -> Extensions:
    """The gates, losses, sparsities and solvers that were registered in this process."""
    return formulation.extensions(), registered_backends()


def adopt(found: Extensions) -> None:
    """Register what :func:`extensions` gave in another process."""
    parts, backends = found
    formulation.adopt(parts)
    for make in backends:
        register_backend(make)
