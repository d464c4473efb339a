"""Options whose value is a name out of a registry.

The registry is read when the option is: help and errors list all names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click


class Named(click.Choice):  # type: ignore[type-arg]  # generic from click 8.2 on
    """One of the names that a function gives.

    It is called when a value or the help is needed, not before.
    """

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self.names = names
        super().__init__(())

    @property
    def choices(self) -> tuple[Any, ...]:
        """The names, as they are now."""
        return tuple(self.names())

    @choices.setter
    def choices(self, given: tuple[Any, ...]) -> None:
        """What :class:`click.Choice` sets when it is made is empty."""
