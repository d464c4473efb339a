"""Networks in .nnet files, the text format of ACAS Xu's networks.

Comments come first, then the number of layers, their sizes, ranges of the inputs, and weights and biases by layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.graph import Graph
from oamip_model.network.maps import Array, Dense, Shape
from oamip_model.network.readers.judge import Judge, Source
from oamip_model.network.types import IMAGE
from oamip_model.read import read_bytes

_LARGEST = 2**30
_HEADER = 7
"""Lines between the comments and the weights: counts, sizes, a flag, and four of the inputs' ranges."""
NOTE = "takes inputs and gives outputs as normalised by the means and ranges of the file, which are left out"


def read_nnet(path: Path, input_shape: Shape | None, output: str | None = None) -> Source:
    """The graph of a .nnet file, and its forward pass.

    Raises InputError for a file of another form, for an output's name, and for images of another shape.
    """
    where = f"network: {path}"
    try:
        text = read_bytes(path, where, _LARGEST).decode("ascii")
    except UnicodeDecodeError:
        raise InputError(f"{where} cannot be read as a .nnet file, it is no text") from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("//")]
    sizes = _sizes(lines, where)
    if output is not None:
        raise InputError(f"output: got {output!r}, but {path} has one output without a name")
    if input_shape not in (None, (sizes[0],)):
        raise InputError(f"input_shape: got {input_shape}, but {path} takes images of shape {(sizes[0],)}")
    layers = list(_layers(lines[_HEADER:], sizes, where))
    graph = Graph((sizes[0],))
    value = IMAGE
    for place, (weight, bias) in enumerate(layers):
        name = f"layer{place}"
        value = graph.affine(name, value, Dense(weight), bias, name)
        value = graph.relu(f"{name}.relu", value) if place < len(layers) - 1 else value
    graph.output = value

    def run(images: Array) -> Array:
        found = images
        for place, (weight, bias) in enumerate(layers):
            found = np.einsum("ni,oi->no", found, weight) + bias
            found = np.where(found > 0, found, 0.0) if place < len(layers) - 1 else found
        return found

    return Source(graph, [Judge("the format's definition", run)], None, (NOTE,))


def _sizes(lines: list[str], where: str) -> list[int]:
    """The numbers of inputs, of units of each hidden layer, and of outputs."""
    try:
        count, inputs, outputs, *_ = (int(word) for word in _words(lines[0]))
        sizes = [int(word) for word in _words(lines[1])]
    except (ValueError, IndexError):
        raise InputError(f"{where} cannot be read as a .nnet file, it does not begin with numbers of layers") from None
    if count < 1 or len(sizes) != count + 1 or min(sizes) < 1 or [sizes[0], sizes[-1]] != [inputs, outputs]:
        raise InputError(f"{where} has {count} layers of the sizes {sizes}, which do not fit together")
    if len(lines) != _HEADER + 2 * sum(sizes[1:]):
        found = len(lines) - _HEADER
        raise InputError(f"{where} has {found} lines of weights and biases; its layers take {2 * sum(sizes[1:])}")
    return sizes


def _layers(lines: list[str], sizes: list[int], where: str) -> Iterator[tuple[Array, Array]]:
    """Yields the weights and the biases of each layer."""
    at = 0
    for place, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        rows = [_numbers(line, where) for line in lines[at : at + 2 * outputs]]
        at += 2 * outputs
        if {len(row) for row in rows[:outputs]} != {inputs} or {len(row) for row in rows[outputs:]} != {1}:
            raise InputError(f"{where} has rows of weights of other lengths than {inputs} in its layer {place}")
        yield np.array(rows[:outputs]), np.array(rows[outputs:])[:, 0]


def _numbers(line: str, where: str) -> list[float]:
    try:
        return [float(word) for word in _words(line)]
    except ValueError:
        shown = line[:40] if line.isprintable() else repr(line[:40])
        raise InputError(f"{where} has a line that is no row of numbers: {shown}") from None


def _words(line: str) -> list[str]:
    return [word for word in line.split(",") if word.strip()]
