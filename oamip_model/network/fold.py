"""From operators to layers: batch norm and additions fold into the affine maps before them, reshapes vanish."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.graph import Affine, Graph, Node, Value
from oamip_model.network.ops import Array, ChannelScale, Conv2d, Dense, Identity, MaxPool, Shape
from oamip_model.network.types import IMAGE, Activation, Layer, Term


@dataclass(frozen=True)
class _Stored:
    """A tensor that is a layer's output, or the image."""

    source: int
    shape: Shape


@dataclass(frozen=True)
class _Pending:
    """An affine map that one operator alone reads, and that may still become part of that operator's layer.

    ``shape`` is how the reader sees it, where a reshape came after.
    """

    name: str
    terms: tuple[Term, ...]
    bias: Array
    pre_shape: Shape
    shape: Shape


def fold(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a graph, in order; the last one makes the graph's output.

    One layer is: a sum of affine maps (batch norm folded in) with the ReLU after it, or a max pooling.
    Raises InputError where the output is the image itself.

    Example:
        >>> import numpy as np
        >>> from oamip_model.network.ops import Dense
        >>> graph = Graph((2,))
        >>> hidden = graph.relu("act", graph.affine("fc1", IMAGE, Dense(np.eye(2)), owner="fc1"))
        >>> graph.output = graph.affine("fc2", hidden, Dense(np.ones((1, 2))), owner="fc2")
        >>> [(layer.name, layer.activation) for layer in fold(graph)]
        [('fc1', 'relu'), ('fc2', 'none')]
    """
    return _Folder(graph).run()


class _Folder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.names: set[str] = set()

    def run(self) -> tuple[Layer, ...]:
        live = _reaching(self.graph)
        uses = Counter(source for value in live for source in self.graph.nodes[value].inputs)
        uses[self.graph.output] += 1
        values: dict[Value, _Stored | _Pending] = {IMAGE: _Stored(IMAGE, self.graph.input_shape)}
        for value in live:
            node = self.graph.nodes[value]
            tick(f"reading layer {node.name}")
            result = self.visit(node, [values[source] for source in node.inputs])
            values[value] = result if uses[value] == 1 else self.store(result)
        self.store(values[self.graph.output])
        if not self.layers:
            raise InputError("network: the output is the image itself, there is no layer in between")
        return tuple(self.layers)

    def visit(self, node: Node, inputs: list[_Stored | _Pending]) -> _Stored | _Pending:
        x = inputs[0]
        if node.operator == "reshape":
            return replace(x, shape=node.shape)
        if node.operator == "add":
            return self.add(node, *inputs)
        if node.operator == "relu":
            return self.store(x if isinstance(x, _Pending) else self.passing(node.name, x), "relu")
        if isinstance(node.operator, MaxPool):
            return self.store(self.passing(node.name, self.store(x)), "max", node.operator)
        assert isinstance(node.operator, Affine)
        return self.affine(node, node.operator, x)

    def affine(self, node: Node, affine: Affine, x: _Stored | _Pending) -> _Pending:
        bias = np.zeros(node.shape[0]) if affine.bias is None else affine.bias
        if isinstance(x, _Pending) and x.shape == x.pre_shape:
            if isinstance(affine.map, Identity):
                return replace(x, bias=x.bias + bias)
            if isinstance(affine.map, ChannelScale) and len(x.terms) == 1:
                map = x.terms[0].map
                scale = affine.map.scale
                if isinstance(map, Dense | Conv2d):
                    weight = map.weight * scale.reshape((-1,) + (1,) * (map.weight.ndim - 1))
                    term = replace(x.terms[0], map=replace(map, weight=weight))
                    return replace(x, terms=(term,), bias=x.bias * scale + bias)
        source = self.store(x)
        term = Term(affine.map, source.source, source.shape, affine.owner)
        return _Pending(affine.owner or node.name, (term,), bias, node.shape, node.shape)

    def add(self, node: Node, a: _Stored | _Pending, b: _Stored | _Pending) -> _Pending:
        if isinstance(a, _Pending) and isinstance(b, _Pending) and a.pre_shape != b.pre_shape:
            b = self.store(b)
        a, b = (x if isinstance(x, _Pending) else self.passing(node.name, x) for x in (a, b))
        if a.pre_shape != b.pre_shape:
            # One side is a stored tensor, which can be read in any shape.
            if all(isinstance(term.map, Identity) for term in a.terms) and not a.bias.any():
                a = replace(a, bias=np.zeros(b.pre_shape[0]), pre_shape=b.pre_shape)
            else:
                b = replace(b, bias=np.zeros(a.pre_shape[0]), pre_shape=a.pre_shape)
        owners = [x.name for x in (a, b) if any(term.name for term in x.terms)]
        return _Pending(owners[0] if owners else node.name, a.terms + b.terms, a.bias + b.bias, a.pre_shape, node.shape)

    @staticmethod
    def passing(name: str, x: _Stored) -> _Pending:
        """A tensor as an affine map of its own."""
        return _Pending(name, (Term(Identity(), x.source, x.shape),), np.zeros(x.shape[0]), x.shape, x.shape)

    def store(self, x: _Stored | _Pending, activation: Activation = "none", pool: MaxPool | None = None) -> _Stored:
        """Make ``x`` a layer, unless it is one."""
        if isinstance(x, _Stored):
            return x
        name, count = x.name, 1
        while name in self.names:
            count += 1
            name = f"{x.name}_{count}"
        self.names.add(name)
        layer = Layer(name, x.terms, x.bias, x.pre_shape, activation, pool)
        self.layers.append(layer)
        return _Stored(len(self.layers) - 1, layer.shape if pool is not None else x.shape)


def _reaching(graph: Graph) -> list[Value]:
    """The nodes that the output depends on, in order."""
    wanted = {graph.output}
    for value in range(len(graph.nodes) - 1, -1, -1):
        if value in wanted:
            wanted.update(graph.nodes[value].inputs)
    return sorted(wanted - {IMAGE})
