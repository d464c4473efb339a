"""The size of a network: its parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oamip_model.network.layer import Layer, Term


@dataclass(frozen=True)
class Size:
    """Parameters, and multiply-accumulates of one image (mathematics:budget-1).

    Batch norm is folded in where it can be. Biases, pooling, padding and additions take no multiply-accumulates.
    """

    parameters: int
    macs: int

    def within(self, other: Size) -> bool:
        """Whether neither number is above the other's."""
        return self.parameters <= other.parameters and self.macs <= other.macs


def first_uses(layers: Iterable[Layer]) -> list[Term]:
    """The terms whose weights no earlier term holds under the same name."""
    seen: set[str] = set()
    found = []
    for layer in layers:
        for term in layer.terms:
            if term.name not in seen or not term.name:
                found.append(term)
            seen.add(term.name)
    return found
