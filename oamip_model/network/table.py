"""A network as a table of its layers, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from oamip_model.network.ops import Shape
from oamip_model.network.types import IMAGE, Layer, Network

_HEADS = ("layer", "reads", "maps", "activation", "output", "parameters", "scored units")
_RIGHT = {5, 6}
"""Columns of numbers."""


def layer_table(network: Network) -> str:
    """The network's layers as lines of text, one for each, and its size.

    The size is the last line.

    A residual addition is a layer with several maps, each of which reads a layer of its own.
    """
    rows = [_row(network, layer) for layer in network.layers]
    scored = sum(group.size for group in network.groups)
    rows.append(("in all", "", "", "", "", f"{network.parameters:,}", str(scored)))
    widths = [max(len(row[k]) for row in (_HEADS, *rows)) for k in range(len(_HEADS))]
    lines = [_line(_HEADS, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _row(network: Network, layer: Layer) -> tuple[str, ...]:
    reads = [f"image {_shape(t.input_shape)}" if t.source == IMAGE else network.layers[t.source].name
             for t in layer.terms]  # fmt: skip
    maps = [type(term.map).__name__ for term in layer.terms]
    activation = "max pooling" if layer.activation == "max" else layer.activation
    group = None if layer.group is None else network.groups[layer.group]
    units = "" if group is None else f"{group.size} ({group.name})" if group.name != layer.name else str(group.size)
    parameters = f"{layer.parameters:,}"
    return layer.name, " + ".join(reads), " + ".join(maps), activation, _shape(layer.shape), parameters, units


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return "  ".join(cell.rjust(width) if k in _RIGHT else cell.ljust(width) for k, (cell, width) in pairs).rstrip()
