"""The objects that a program has registered, for the processes that work for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from oamip_model import registry
from oamip_model.solving.protocol import Backend
from oamip_model.solving.registry import register_backend, registered_backends

Extensions: TypeAlias = tuple[registry.Extensions, tuple[Callable[[], Backend], ...]]


def extensions() -> Extensions:
    """The objects that were registered in this process.

    They are solvers, and those of :mod:`oamip_model.registry`.

    Returns
    -------
    tuple
        What :func:`adopt` takes. It can be pickled.
    """
    return registry.extensions(), registered_backends()


def adopt(found: Extensions) -> None:
    """Register the objects that :func:`extensions` gave in another process.

    Parameters
    ----------
    found : tuple
        The objects.
    """
    parts, backends = found
    registry.adopt(parts)
    for make in backends:
        register_backend(make)
