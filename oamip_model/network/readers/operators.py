"""Operators by their names: functions that make nodes of the operator graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from oamip_model.errors import InputError
from oamip_model.network.graph import Graph, Value
from oamip_model.registry import load, offered

C = TypeVar("C")
Emit: TypeAlias = Callable[[Graph, C], Value | list[Value]]
"""Appends what a call does to the graph, and returns the value, or the values, that the call gives."""


class Operators(Generic[C]):
    """The functions of one reader, by the names of the operators that they read.

    option: what messages call one; group: the entry-point group in which packages offer such functions; own: those of
    this package. A function from outside is asked for only where this package has none of that name.
    """

    def __init__(self, option: str, group: str, own: Mapping[str, Emit[C]]) -> None:
        self.option, self.group, self.own = option, group, own
        self._registered: dict[str, Emit[C]] = {}

    def find(self, name: str) -> Emit[C] | None:
        """The function of an operator, or None where nobody has one.

        Raises InputError for one that a package offers and that cannot be loaded.
        """
        known = self.own.get(name) or self._registered.get(name)
        if known is not None:
            return known
        entry = offered(self.option, self.group).get(name)
        if entry is None:
            return None
        self._registered[name] = self._fit(name, load(self.option, entry))
        return self._registered[name]

    def register(self, name: str, function: Emit[C]) -> None:
        """Read the operator of this name by a function.

        The same function may be registered again. Raises InputError for an operator that is read already.
        """
        other = self.find(name)
        if other is not None and _place(other) != _place(function):
            raise InputError(f"{self.option}: {name} is read already; accepted are operators that are not")
        self._registered[name] = self._fit(name, function)

    def _fit(self, name: str, function: Any) -> Emit[C]:
        if not callable(function) or isinstance(function, type):
            raise InputError(
                f"{self.option}: {name} is to be read by {type(function).__name__}; accepted is a function of a graph "
                "and a call"
            )
        found: Emit[C] = function
        return found


def _place(function: Any) -> tuple[Any, Any]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", function)
